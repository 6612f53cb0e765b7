/** Commands about the server itself: status, version, reload, counters, log and accounting files, DNS. */
import { domainToAscii } from '../../../mail/address.ts';
import { logTime } from '../../../system/log.ts';
import { Many } from '../answer.ts';
import type { Command } from '../command.ts';
import type { Control } from '../control.ts';
import { domainList } from '../lists.ts';
import { revisionOf, statusTree } from '../status.ts';
import { domainsText, statusText } from '../text.ts';

/** Of the home page. */
const TOP_DOMAINS = 10;
const NO_CONSOLE = 'There is no management console to register with.';

const plain = (
  words: readonly string[],
  summary: string,
): Pick<Command<Control>, 'words' | 'arguments' | 'options' | 'usage' | 'summary'> => ({
  words,
  arguments: [0, 0],
  options: {},
  usage: '',
  summary,
});

export const serverCommands: readonly Command<Control>[] = [
  {
    ...plain(['show', 'status'], 'traffic, connections, queues, spool'),
    level: 'monitor',
    run({ status }, { now }) {
      const data = statusTree(status, now);
      return { data, text: statusText(data) };
    },
  },
  {
    ...plain(['show', 'summary'], 'status, the fullest domains and the last hour minute by minute'),
    level: 'monitor',
    run({ status, scheduler }, { now }) {
      const tree = statusTree(status, now);
      const show = { errors: false, modeEvents: false, recipientEvents: false };
      const top = domainList(scheduler, { matches: () => true, sort: 'rcpt', maxItems: TOP_DOMAINS, show });
      const [inbound, outbound] = (['in', 'out'] as const).map((way) => status.traffic.minutes(way, now));
      const chart = inbound!.map((of, i) => ({
        time: logTime(now - (59 - i) * 60_000),
        smtpIn: of.rcp,
        smtpOut: outbound![i]!.rcp,
      }));
      return {
        data: { ...tree, domain: top.domain!, chart: new Many('chart', chart) },
        text: `${statusText(tree)}\n${domainsText(top, false)}`,
      };
    },
  },
  {
    ...plain(['show', 'version'], 'version of the server'),
    level: 'monitor',
    run: ({ status }) => ({
      data: { product: { name: 'Posthorn', version: status.version } },
      text: `Posthorn v${status.version} (${logTime(status.builtAt)}, 64-bit; ${revisionOf(status)}).\n`,
    }),
  },
  {
    ...plain(['show', 'license'], 'there is none to buy; the words that scripts look for'),
    level: 'monitor',
    run({ status }) {
      const fields: [string, string][] = [
        ['product', 'Posthorn'],
        ['version', status.version],
        ['platform', `${process.platform}-${process.arch}`],
        ['units', 'unlimited'],
        ['instances', '1'],
        ['licensee', 'everyone (Apache License 2.0)'],
        ['serial', '0'],
        ['issued', ''],
        ['expires', 'never'],
        ['copyright', 'the Posthorn authors'],
      ];
      return {
        data: { license: Object.fromEntries(fields) },
        text: fields
          .map(([name, value]) => `${name.padStart(10)}: ${value}`.trimEnd())
          .join('\n')
          .concat('\n'),
      };
    },
  },
  {
    ...plain(['show', 'counters'], 'outcomes so far, and what waits to be written'),
    level: 'monitor',
    run({ scheduler, counters }) {
      let queued = 0;
      for (const queue of scheduler.queues()) queued += queue.size;
      const { totals, backlog } = counters();
      const data = { totals: { ...totals }, queued, backlog: { ...backlog } };
      const lines = [...Object.entries(totals), ['queued', queued], ...Object.entries(backlog)];
      return { data, text: lines.map(([name, value]) => `${name} ${value}\n`).join('') };
    },
  },
  {
    ...plain(['show', 'precache'], 'domains whose routing data are kept fresh'),
    level: 'monitor',
    run({ precached }) {
      const domains = precached().map(({ domain, at, result }) => ({
        name: domain,
        time: at === null ? '' : logTime(at),
        result: result ?? '',
      }));
      const lines = domains.map(({ name, time, result }) =>
        `${name} ${time || 'not asked yet'} ${result}`.trimEnd(),
      );
      return {
        data: { domain: new Many('domains', domains) },
        text: lines.length === 0 ? 'No domains are precached.\n' : `${lines.join('\n')}\n`,
      };
    },
  },
  {
    ...plain(['reload'], 'reads the configuration again; a broken one changes nothing'),
    level: 'admin',
    run: ({ reload }) => reload(),
  },
  ...(['counters', 'status'] as const).map(
    (word): Command<Control> => ({
      ...plain(['reset', word], 'sets traffic and top values to zero'),
      level: 'admin',
      run({ resetCounters }) {
        resetCounters();
        return { data: '', message: 'Traffic counters reset.' };
      },
    }),
  ),
  {
    words: ['clear', 'dnscache'],
    arguments: [1, 1],
    options: {},
    usage: '{DOMAIN | *}',
    summary: 'forgets what DNS said about a domain',
    level: 'admin',
    run({ clearDns }, { args: [domain] }) {
      clearDns(domainToAscii(domain!) ?? domain!.toLowerCase());
      return {
        data: '',
        message: domain === '*' ? 'DNS cache cleared.' : `Cleared ${domain!.slice(0, 255)} from DNS cache.`,
      };
    },
  },
  {
    words: ['rotate', 'acct'],
    arguments: [0, 1],
    options: {},
    usage: '[FILE]',
    summary: 'begins new accounting files, or a new one',
    level: 'admin',
    async run({ rotateAccounting }, { args: [file] }) {
      const rotated = await rotateAccounting(file);
      if (rotated.length > 0) return { data: '', message: 'Accounting file rotated.' };
      return {
        failure:
          file === undefined
            ? 'no accounting file is configured'
            : `"${file.slice(0, 300)}" is no accounting file of the configuration`,
      };
    },
  },
  {
    ...plain(['rotate', 'log'], 'begins a new log file'),
    level: 'admin',
    async run({ rotateLog }) {
      await rotateLog();
      return { data: '', message: 'Logging file rotated.' };
    },
  },
  ...(['register', 'deregister'] as const).map(
    (word): Command<Control> => ({
      words: [word],
      arguments: [0, 9],
      options: {},
      usage: '',
      summary: 'of no use here; answers for old scripts',
      level: 'admin',
      run: () => ({ data: '', message: NO_CONSOLE }),
    }),
  ),
  {
    ...plain(['show', 'registration'], 'of no use here; answers for old scripts'),
    level: 'monitor',
    run: () => ({ data: '', message: NO_CONSOLE }),
  },
];
