import { Block, type Line } from './block.ts';
import { Fault } from './diagnostic.ts';
import { directive } from './directives/index.ts';

/** Values of `<domain {sparkpost}>` that its own lines may override; their origin is none. */
const SPARKPOST = {
  'smtp-hosts': 'smtp.sparkpostmail.com:587',
  'auth-username': 'SMTP_Injection',
  'use-starttls': 'yes',
  'require-starttls': 'yes',
  'add-x-msys-api-header': 'yes',
} as const;

function preset(values: Readonly<Record<string, string>>): Block {
  const origin = { file: '{sparkpost}', line: 0 };
  const block = new Block('domain', '{sparkpost}', origin, null);
  for (const [name, text] of Object.entries(values)) {
    const declaration = directive('domain', name)!;
    const value = declaration.type.parse({ text, folder: '/' });
    if (value instanceof Fault) throw new Error(`preset ${name}: ${value.message}`);
    const line: Line = { value, text, written: name, origin };
    block.settings.set(name, { declaration, lines: [line] });
  }
  return block;
}

/** What mail relayed to SparkPost needs, so that the operator adds nothing but the key. */
export const sparkpostPreset: Block = preset(SPARKPOST);
