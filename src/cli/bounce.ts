import path from 'node:path';
import { parseArgs } from 'node:util';
import { formatDiagnostic, loadConfig } from '../config/index.ts';
import { classify } from '../mta/accounting/classify.ts';
import { UserError } from '../system/user-error.ts';

export const help = `posthorn bounce: what a refusal is called, and why

Usage: posthorn bounce classify REPLY [--config FILE] [--json]

REPLY is what a remote host said, as one argument: "550 5.1.1 no such user".

  --config FILE  a PowerMTA configuration, whose <bounce-category-patterns> go before the stock table;
                 without it the stock table alone decides
  --json         the result as JSON

The rules of <smtp-pattern-list> act on queues and give no category, so they are not asked.
Exit status: 0 done, 1 the configuration has errors, 2 wrong usage.
`;

export async function run(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    options: { config: { type: 'string' }, json: { type: 'boolean', default: false } },
    allowPositionals: true,
  });
  const [what, reply, surplus] = positionals;
  if (what !== 'classify' || !reply || surplus) {
    throw new UserError('usage: posthorn bounce classify "REPLY" [--config FILE] [--json]', { exitCode: 2 });
  }
  const loaded = values.config
    ? loadConfig(path.resolve(values.config), { missingFiles: 'warn' })
    : loadConfig(path.resolve('config'), { texts: new Map([[path.resolve('config'), '']]) });
  if (!loaded.config) {
    for (const d of loaded.diagnostics) {
      if (d.severity === 'error') process.stderr.write(`${formatDiagnostic(d)}\n`);
    }
    return 1;
  }
  const found = classify(reply, loaded.config);
  if (values.json) {
    process.stdout.write(`${JSON.stringify(found, null, 2)}\n`);
    return 0;
  }
  const pattern = found.rule === '' ? 'no pattern matches' : `${found.rule}: /${found.pattern}/`;
  process.stdout.write(
    [
      `category  ${found.category}`,
      `          ${pattern}`,
      `class     ${found.bounceClass} ${found.bounceClassName}${found.bounceClassCategory === '' ? '' : ` (${found.bounceClassCategory})`}`,
      `          ${found.bounceClassRule}`,
      `status    ${found.status}`,
      '',
    ].join('\n'),
  );
  return 0;
}
