import { createHash } from 'node:crypto';
import { Fault } from '../diagnostic.ts';
import { type DomainPattern, readDomainPattern } from '../domain-pattern.ts';
import { listItems, words } from '../tokens.ts';
import type { ListType, ValueType } from './value-type.ts';

/** Letter of an accounting record's type, as it stands in the `type` column. */
export type RecordType = 'd' | 'b' | 't' | 'tq' | 'r' | 'f' | 'rb' | 'rs';

const RECORD_NAMES: ReadonlyMap<string, RecordType> = new Map([
  ['d', 'd'],
  ['delivery', 'd'],
  ['b', 'b'],
  ['bounce', 'b'],
  ['t', 't'],
  ['transient', 't'],
  ['tq', 'tq'],
  ['transient-queue', 'tq'],
  ['r', 'r'],
  ['receipt', 'r'],
  ['received', 'r'],
  ['f', 'f'],
  ['feedback-loop', 'f'],
  ['fbl', 'f'],
  ['rb', 'rb'],
  ['remote-bounce', 'rb'],
  ['rs', 'rs'],
  ['remote-status', 'rs'],
]);

const RECORD_WORDS = [...RECORD_NAMES.keys()];

function readRecordType(word: string): RecordType | Fault {
  return (
    RECORD_NAMES.get(word.toLowerCase()) ??
    new Fault(`"${word}" is not a record type`, { text: word, hint: 'd, b, t, tq, r, f, rb or rs' })
  );
}

/** Record types, each once, in the order written; `allowed` narrows them. */
export function recordTypes(allowed?: readonly RecordType[]): ListType<readonly RecordType[]> {
  return {
    kind: 'list',
    grammar: `RECTYPE_LIST(${(allowed ?? ['d', 'b', 't', 'tq', 'r', 'f', 'rb', 'rs']).join('|')})`,
    words: allowed ?? RECORD_WORDS,
    empty: [],
    parse({ text }) {
      const items = listItems(text);
      if (items instanceof Fault) return items;
      const out: RecordType[] = [];
      for (const item of items) {
        const read = readRecordType(item.text);
        if (read instanceof Fault) return new Fault(read.message, { ...read, offset: item.offset });
        if (allowed && !allowed.includes(read)) {
          return new Fault(`record type ${read} does not belong here`, {
            text: item.text,
            offset: item.offset,
            hint: `allowed are ${allowed.join(', ')}`,
          });
        }
        if (!out.includes(read)) out.push(read);
      }
      return out;
    },
  };
}

/** One item of `record-fields`: a column, a header or report field, `*` for the default set; or left out by `!`. */
export interface FieldChoice {
  readonly name: string;
  readonly exclude: boolean;
}

export const recordFields: ValueType<{
  readonly record: RecordType;
  readonly fields: readonly FieldChoice[];
}> = {
  kind: 'compound',
  grammar: "RECTYPE FIELD_LIST('*' | ['!'] FIELD | 'header_' NAME | 'arf_' NAME)",
  parse({ text }) {
    const match = /^(\S+)[ \t]+(.+)$/.exec(text);
    if (!match) return new Fault('argument missing', { hint: 'a record type and a list of fields' });
    const record = readRecordType(match[1]!);
    if (record instanceof Fault) return record;
    const items = listItems(match[2]!, text.length - match[2]!.length);
    if (items instanceof Fault) return items;
    const fields: FieldChoice[] = [];
    for (const item of items) {
      if (!/^(?:\*|!?[A-Za-z][\x21-\x2b\x2d-\x7e]{0,200})$/.test(item.text)) {
        return new Fault(`"${item.text}" is not a field`, { text: item.text, offset: item.offset });
      }
      const exclude = item.text.startsWith('!');
      fields.push({ name: exclude ? item.text.slice(1) : item.text, exclude });
    }
    return { record, fields };
  },
};

/** A message header that overwrites a column. `header` is in lower case. */
export const headerToField: ValueType<{
  readonly record: RecordType;
  readonly header: string;
  readonly field: string;
}> = {
  kind: 'compound',
  grammar: "RECTYPE 'header_' NAME FIELD",
  parse({ text }) {
    const all = words(text);
    if (all instanceof Fault) return all;
    if (all.length !== 3) {
      return new Fault(all.length < 3 ? 'argument missing' : `surplus argument "${all[3]!.text}"`, {
        hint: 'write as TYPE header_NAME FIELD',
      });
    }
    const record = readRecordType(all[0]!.text);
    if (record instanceof Fault) return record;
    if (record === 'tq') return new Fault('tq records have no message headers', { text: 'tq' });
    const header = /^header_([\x21-\x39\x3b-\x7e]+)$/i.exec(all[1]!.text);
    if (!header) {
      return new Fault(`"${all[1]!.text}" is not header_NAME`, {
        text: all[1]!.text,
        offset: all[1]!.offset,
      });
    }
    return { record, header: header[1]!.toLowerCase(), field: all[2]!.text };
  },
};

/** One item of `queue-filter`; `vmta` null stands for every VMTA. First match decides, no match drops the record. */
export interface QueueFilterItem {
  readonly deny: boolean;
  readonly domain: DomainPattern;
  readonly vmta: string | null;
}

export const queueFilter: ListType<readonly QueueFilterItem[]> = {
  kind: 'list',
  grammar: "['!'] DOMPAT ['/' (VMTA|'*'|'{default}')] { ',' ... }",
  empty: [],
  parse({ text }) {
    const items = listItems(text);
    if (items instanceof Fault) return items;
    const out: QueueFilterItem[] = [];
    for (const item of items) {
      const deny = item.text.startsWith('!');
      const body = deny ? item.text.slice(1) : item.text;
      // A network in brackets holds a slash of its own.
      const slash = body.indexOf('/', body.startsWith('[') ? Math.max(0, body.indexOf(']')) : 0);
      const domain = readDomainPattern(slash < 0 ? body : body.slice(0, slash));
      const at = { text: item.text, offset: item.offset };
      if (domain instanceof Fault) return new Fault(domain.message, { ...at, hint: domain.hint ?? '' });
      if (domain.kind === 'reserved') return new Fault('reserved queues cannot be filtered', at);
      if ('domain' in domain && !domain.domain.includes('.')) {
        return new Fault(`"${domain.domain}" is not fully qualified`, at);
      }
      // Without a VMTA it is the default one, not each of them (guide 3.3.11.5).
      const vmta = slash < 0 ? '{default}' : body.slice(slash + 1);
      if (vmta === '') return new Fault('VMTA name missing after the slash', at);
      if (!/^(?:\*|\{default\}|[\w.-]{1,64})$/i.test(vmta)) {
        return new Fault(`"${vmta}" is no VirtualMTA name`, at);
      }
      out.push({ deny, domain, vmta: vmta === '*' ? null : vmta });
    }
    return out;
  },
};

/** How recipients are hidden. `key` is what SipHash (16 bytes) or HMAC runs with; `text` replaces them in `redact`. */
export interface PrivacyPolicy {
  readonly mode: 'retain' | 'redact' | 'siphash' | 'hmac-sha256';
  readonly text: string | null;
  readonly key: Uint8Array | null;
}

const POLICY_WORDS = [
  'retain',
  'redact',
  'siphash',
  'siphash-hexkey',
  'hmac-sha256',
  'hmac-sha256-hexkey',
] as const;

export const privacyPolicy: ValueType<PrivacyPolicy> = {
  kind: 'compound',
  grammar:
    "{ 'retain' | 'redact' [STRING] | 'siphash' STRING | 'siphash-hexkey' HEX | 'hmac-sha256' STRING | 'hmac-sha256-hexkey' HEX }",
  words: POLICY_WORDS,
  secret: true,
  parse({ text }) {
    const all = words(text);
    if (all instanceof Fault) return all;
    const [word, argument, surplus] = all;
    if (!word) return new Fault('argument missing');
    if (surplus) return new Fault('surplus argument', { offset: surplus.offset });
    const mode = word.text.toLowerCase();
    if (mode === 'retain') {
      return argument
        ? new Fault('surplus argument', { offset: argument.offset })
        : { mode, text: null, key: null };
    }
    if (mode === 'redact') return { mode, text: argument ? argument.text : null, key: null };
    const keyed = /^(siphash|hmac-sha256)(-hexkey)?$/.exec(mode);
    if (!keyed) return new Fault(`"${word.text}" is not a privacy policy`, { text: word.text });
    if (!argument || argument.text === '')
      return new Fault('argument missing', { hint: 'this policy needs a key' });
    if (keyed[2] && !/^(?:[0-9a-f]{2}){1,512}$/i.test(argument.text)) {
      return new Fault('key is not hexadecimal', { offset: argument.offset });
    }
    const key = Buffer.from(argument.text, keyed[2] ? 'hex' : 'utf8');
    if (keyed[1] === 'hmac-sha256') return { mode: 'hmac-sha256', text: null, key };
    if (key.length > 16) return new Fault('SipHash key is longer than 16 bytes', { offset: argument.offset });
    return { mode: 'siphash', text: null, key: Buffer.concat([key], 16) };
  },
};

/** A short stand-in for a secret in reports: the same secret gives the same text, and it cannot be undone. */
export const fingerprint = (secret: string): string =>
  `(secret ${createHash('sha256').update(secret).digest('hex').slice(0, 8)})`;
