/** Accounting files as the configuration describes them. */
import type { AcctFile, Config, PrivacyPolicy as PolicySetting } from '../../config/index.ts';
import type { OutcomeView } from '../../events/outcome.ts';
import type { Clock } from '../../system/clock.ts';
import type { Log } from '../../system/log.ts';
import { createAcctFile } from './acct-file.ts';
import { createAcctPipe } from './acct-pipe.ts';
import { expandColumns, type RecordType } from './columns.ts';
import type { PrivacyPolicy } from './privacy.ts';
import type { RecordOptions } from './rows.ts';

/** The view of one `<acct-file>`: a file, or a program fed through a pipe. */
export function acctFileView(
  config: Config,
  acct: AcctFile,
  tools: { readonly clock: Clock; readonly log: Log },
): OutcomeView {
  const records = recordOptions(config, acct);
  const { settings, target } = acct;
  if (target.startsWith('|')) {
    const retryIntervalMs = settings.get('retry-interval');
    const writeTimeoutMs = settings.get('write-timeout');
    const alike = config.acctFiles.filter((other) => other.target === target);
    const nth = alike.indexOf(acct) + 1;
    const command = target.slice(1);
    return createAcctPipe({ ...records, command, nth, retryIntervalMs, writeTimeoutMs }, tools);
  }
  const moveTo = settings.get('move-to');
  const deleteAfter = settings.get('delete-after');
  return createAcctFile(
    {
      ...records,
      path: target,
      maxSize: settings.get('max-size'),
      moveIntervalMs: settings.get('move-interval'),
      deleteAfterMs: Number.isFinite(deleteAfter) ? deleteAfter : null,
      worldReadable: settings.get('world-readable'),
      countMovedRecords: settings.get('count-moved-records'),
      ...(moveTo ? { moveTo } : {}),
    },
    tools,
  );
}

/** Header names, lower case, that columns of any accounting file ask for: what reception has to keep of a message. */
export function headersInColumns(config: Config): ReadonlySet<string> {
  const names = new Set<string>();
  for (const { settings } of config.acctFiles) {
    for (const type of settings.get('records')) {
      for (const column of expandColumns(type, recordFields(settings).get(type) ?? ['*']).columns) {
        if (/^header_/i.test(column)) names.add(column.slice('header_'.length).toLowerCase());
      }
    }
    for (const { header } of settings.get('map-header-to-field')) {
      names.add(header.replace(/^header_/i, '').toLowerCase());
    }
  }
  // A private key is in no column, whoever asks for it.
  names.delete('x-dkim-key');
  return names;
}

function recordOptions(config: Config, { settings }: AcctFile): RecordOptions {
  const filter = settings.get('queue-filter');
  const userString = settings.get('user-string');
  const mapHeaders = new Map<RecordType, Map<string, string[]>>();
  for (const { record, header, field } of settings.get('map-header-to-field')) {
    const columns = mapHeaders.get(record) ?? new Map<string, string[]>();
    columns.set(field, [...(columns.get(field) ?? []), header.replace(/^header_/i, '')]);
    mapHeaders.set(record, columns);
  }
  return {
    records: settings.get('records'),
    recordFields: recordFields(settings),
    isoTimes: settings.get('iso-times'),
    privacy: privacyOf(settings.get('privacy-policy')),
    mapHeaders,
    disabled: (type, queue) => {
      const slash = queue.lastIndexOf('/');
      return config
        .queue(queue.slice(0, slash), queue.slice(slash + 1))
        .get('disable-acct-records')
        .includes(type);
    },
    ...(userString ? { userString } : {}),
    ...(filter.length > 0
      ? {
          queueFilter: filter.map(({ deny, domain, vmta }) => ({
            write: !deny,
            domain,
            vmta: (vmta ?? '*').toLowerCase(),
          })),
        }
      : {}),
  };
}

function recordFields(settings: AcctFile['settings']): Map<RecordType, string[]> {
  return new Map(
    settings
      .get('record-fields')
      .map(({ record, fields }) => [
        record,
        fields.map(({ name, exclude }) => (exclude ? `!${name}` : name)),
      ]),
  );
}

function privacyOf({ mode, text, key }: PolicySetting): PrivacyPolicy {
  switch (mode) {
    case 'retain':
      return { mode };
    case 'redact':
      return { mode, text: text ?? '...' };
    default:
      return { mode, key: key ?? new Uint8Array() };
  }
}
