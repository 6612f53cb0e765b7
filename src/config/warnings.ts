import type { Block } from './block.ts';
import type { Config } from './config.ts';
import type { Findings, Origin } from './diagnostic.ts';
import type { Disk } from './disk.ts';
import type { Pattern } from './pattern/pattern.ts';
import type { PrivacyPolicy, RecordType } from './values/accounting.ts';
import type { PatternRuleHead } from './values/rules.ts';
import { allLines } from './walk.ts';

/** Regexes that match every text. */
const matchesAll = (pattern: Pattern): boolean => /^(?:\^?\.\*\$?|\^|\$)?$/.test(pattern.source);

/** Says what is accepted but probably not meant. */
export function findSuspicious(
  config: Config,
  disk: Disk,
  findings: Findings,
  usedVmtas: ReadonlySet<string>,
  stockFile: string,
): void {
  hiddenKeys(config.root, findings);
  backoffAboveNormal(config, findings);
  unusedVmtas(config, findings, usedVmtas);
  openRelay(config, findings);
  deadRules(config, findings, stockFile);
  rollupsWithoutRoute(config, findings);
  for (const { name, members, origin } of config.pools.values()) {
    if (members.length > 0) continue;
    findings.warn(origin, `pool ${name} has no members`, { text: name, hint: 'add virtual-mta NAME' });
  }
  readableSecrets(config.root, disk, findings);
  weakKeysAndOldFields(config.root, findings);
  if (!config.signals) {
    const line = config.root
      .lines('enable-signals')
      .find((l) => (l.value as { kind: string }).kind !== 'drop');
    if (line)
      findings.warn(line.origin, 'enable-signals has no effect without a <signals> block', {
        text: line.text,
      });
  }
}

function hiddenKeys(block: Block, findings: Findings): void {
  let wildcard: Origin | null = null;
  for (const line of block.lines('domain-key')) {
    const { domain } = line.value as { domain: string };
    if (wildcard) {
      findings.warn(line.origin, `domain-key for ${domain} is never used`, {
        text: line.text,
        hint: `the * key of line ${wildcard.line} fits first; put it last`,
      });
    } else if (domain === '*') wildcard = line.origin;
  }
  for (const inner of block.blocks) hiddenKeys(inner, findings);
}

function backoffAboveNormal(config: Config, findings: Findings): void {
  const entersBackoff = [...config.lists.smtpPatternLists.values()].some((l) =>
    l.rules.some((r) => r.actions.mode === 'backoff'),
  );
  let byDefault: { origin: Origin; limit: number; blocks: number } | null = null;
  const look = (parent: Block): void => {
    for (const block of parent.blocks) {
      if (block.scope === 'domain') {
        const normal = block.lines('max-smtp-out').at(-1);
        const backoff = block.lines('backoff-max-smtp-out').at(-1);
        const limit = (normal?.value as number | undefined) ?? 20;
        if (backoff && (backoff.value as number) > limit) {
          findings.warn(
            backoff.origin,
            `backoff-max-smtp-out ${backoff.text} is above max-smtp-out ${limit}`,
            {
              text: backoff.text,
              hint: 'in backoff mode the queue would open more connections, not fewer',
            },
          );
        } else if (normal && !backoff && limit < 20) {
          byDefault = byDefault
            ? { ...byDefault, blocks: byDefault.blocks + 1 }
            : { origin: normal.origin, limit, blocks: 1 };
        }
      } else look(block);
    }
  };
  look(config.root);
  const found = byDefault as { origin: Origin; limit: number; blocks: number } | null;
  const general = config.root
    .blocksOf('domain')
    .some((b) => b.argument === '*' && b.lines('backoff-max-smtp-out').length > 0);
  if (found && entersBackoff && !general) {
    const blocks = found.blocks === 1 ? '' : `, and ${found.blocks - 1} more blocks like it`;
    findings.warn(found.origin, `max-smtp-out ${found.limit} rises to 20 in backoff mode${blocks}`, {
      text: String(found.limit),
      hint: 'backoff-max-smtp-out is 20 unless set',
    });
  }
}

/** A wildcard names no host to send to: without `smtp-hosts` nothing is rolled up into its queue. */
function rollupsWithoutRoute(config: Config, findings: Findings): void {
  const routed = new Set(
    config.mxRollups.filter((one) => !one.wildcard || one.byIp).map(({ queue }) => queue),
  );
  const vmtas = [...config.vmtas.keys()];
  for (const { queue, host, origin } of config.mxRollups) {
    if (routed.has(queue)) continue;
    routed.add(queue);
    if (vmtas.some((vmta) => config.queue(queue, vmta).get('smtp-hosts') !== null)) continue;
    findings.warn(origin, `${queue} has no smtp-hosts, so no mail joins it by *.${host}`, {
      text: queue,
      hint: `add <domain ${queue}> with smtp-hosts, or rollup-by-ip`,
    });
  }
}

/** Whether messages may name their VMTA themselves, so that no reference to it need stand in the file. */
function chosenByMessages(config: Config): boolean {
  return config.root.blocksOf('source').some((block) => {
    const on = (name: string) => block.lines(name).at(-1)?.value === true;
    return (
      on('process-x-virtual-mta') ||
      on('allow-mailmerge') ||
      on('always-allow-api-submission') ||
      block.argument.toLowerCase() === '{pickup}' ||
      block.lines('default-virtual-mta').at(-1)?.value === 'by-smtp-source-ip'
    );
  });
}

function unusedVmtas(config: Config, findings: Findings, used: ReadonlySet<string>): void {
  if (chosenByMessages(config)) return;
  for (const [key, vmta] of config.vmtas) {
    if (!vmta.origin || used.has(key)) continue;
    findings.warn(vmta.origin, `VMTA ${vmta.name} is never used`, {
      text: vmta.name,
      hint: 'no pool, pattern or source names it, and no source has process-x-virtual-mta yes',
    });
  }
}

const LOOPBACK = /^(?:127\.|::1$)/;

function openRelay(config: Config, findings: Findings): void {
  if (config.listeners.every((l) => LOOPBACK.test(l.address))) return;
  for (const clientIp of ['198.51.100.77', '2001:db8:77::77']) {
    const source = config.sourceFor({ clientIp });
    const origin = source.origin('always-allow-relaying');
    if (
      origin &&
      source.get('always-allow-relaying') &&
      !source.get('require-auth') &&
      source.get('smtp-service')
    ) {
      findings.warn(origin, 'open relay: any client may send to any recipient', {
        text: 'always-allow-relaying',
        hint: 'allow it for your own addresses or for authenticated users only',
      });
      return;
    }
  }
  for (const line of config.root.lines('relay-domain')) {
    if ((line.value as { kind: string }).kind === 'any') {
      findings.warn(line.origin, 'open relay: relay-domain * accepts every recipient from anyone', {
        text: '*',
      });
    }
  }
}

/** Rules of first-match tables that an earlier rule leaves nothing for, and regexes that no text can match. */
function deadRules(config: Config, findings: Findings, stockFile: string): void {
  const impossible = (pattern: Pattern, origin: Origin) => {
    if (pattern.canMatch()) return false;
    findings.warn(origin, `no text can match /${pattern.source}/`, { text: pattern.source });
    return true;
  };
  const firstMatch = (rules: readonly { key: string; pattern: Pattern | null; origin: Origin }[]) => {
    const seen = new Map<string, Origin>();
    let all: Origin | null = null;
    for (const { key, pattern, origin } of rules) {
      const earlier = all ?? seen.get(key);
      if (earlier) {
        findings.warn(origin, 'this rule is never reached', {
          text: pattern?.source ?? '*',
          hint: `the one in line ${earlier.line} of ${earlier.file} matches first`,
        });
        continue;
      }
      if (pattern && impossible(pattern, origin)) continue;
      seen.set(key, origin);
      if (!pattern || (key.startsWith('all ') && matchesAll(pattern))) all = origin;
    }
  };
  const own = config.lists.bounceCategories.filter((r) => r.origin.file !== stockFile);
  firstMatch(own.map((r) => ({ key: `all ${r.pattern.source}`, pattern: r.pattern, origin: r.origin })));
  const patternList = (block: Block): void => {
    firstMatch(
      block.rules.flatMap(({ line }) => {
        const { subject, pattern, result } = line.value as PatternRuleHead;
        const header = subject.kind === 'header' ? subject.header : '';
        // A rule with a nested list may fall through to the rules after it.
        return result
          ? [{ key: `${subject.kind} ${header} ${pattern?.source}`, pattern, origin: line.origin }]
          : [];
      }),
    );
    for (const { line } of block.rules) if (line.nested) patternList(line.nested);
  };
  for (const block of config.root.blocksOf('pattern-list')) patternList(block);
  for (const list of config.lists.smtpPatternLists.values()) {
    for (const rule of list.rules) impossible(rule.pattern, rule.origin);
  }
}

function readableSecrets(root: Block, disk: Disk, findings: Findings): void {
  const seen = new Set<string>();
  for (const { declaration, line } of allLines(root)) {
    const { file } = line.origin;
    const hidden = declaration.type.secret && line.text !== '' && line.text !== '""';
    const keyed = declaration.name !== 'privacy-policy' || (line.value as PrivacyPolicy | null)?.key;
    if (!hidden || !keyed || seen.has(file)) continue;
    seen.add(file);
    const mode = disk.mode(file);
    if (mode !== null && (mode & 0o004) !== 0) {
      findings.warn(line.origin, `${line.written} stands in a file that every user can read`, {
        text: line.written,
        hint: `chmod o-r ${file}`,
      });
    }
  }
}

function weakKeysAndOldFields(root: Block, findings: Findings): void {
  for (const block of root.blocksOf('acct-file')) {
    const line = block.lines('privacy-policy').at(-1);
    const policy = line?.value as PrivacyPolicy | undefined;
    if (line && policy?.mode === 'hmac-sha256' && policy.key && policy.key.length < 32) {
      findings.warn(line.origin, 'key of hmac-sha256 is weak', { hint: 'at least 32 bytes', text: '' });
    }
    for (const fields of block.lines('record-fields')) {
      const { record, fields: chosen } = fields.value as { record: RecordType; fields: { name: string }[] };
      if (chosen.some((f) => f.name.toLowerCase() === 'timeimprinted')) {
        findings.warn(
          fields.origin,
          `timeImprinted is no field of ${record} records any more; nothing is written`,
          {
            text: 'timeImprinted',
          },
        );
      }
    }
  }
}
