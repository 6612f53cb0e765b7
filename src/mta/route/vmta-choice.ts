import type { Config, PatternResult, Settings } from '../../config/index.ts';
import type { Header } from '../../mail/header.ts';
import { type Reply, reply } from '../../smtp/index.ts';
import { isSingleAddress } from '../deliver/source-addresses.ts';
import { selectByPattern } from './pattern-list.ts';
import type { PoolRotation } from './pool-rotation.ts';

export interface VmtaQuestion {
  readonly config: Config;
  readonly source: Settings<'source'>;
  readonly header: Header;
  /** Envelope sender after rewriting. */
  readonly sender: string;
  readonly recipients: readonly { readonly address: string }[];
  /** Where the client connected to; '' where there is no connection. */
  readonly session: { readonly localAddress: string };
  readonly pools: PoolRotation;
  /** Reserved merge variables by name, `*` included: `*vmta` and `*priority` count here. */
  readonly variables?: ReadonlyMap<string, string>;
}

export interface VmtaChoice {
  /** Name as the configuration spells it; `{default}` when nothing was chosen. */
  readonly vmta: string;
  /** The pool it was chosen through; '' when none. */
  readonly pool: string;
  /** Order of recipients inside a queue, 0 to 100, the highest first. */
  readonly priority: number;
}

export const DEFAULT_VMTA = '{default}';
/** Stands for a missing VMTA whose name nobody should have to read. Such mail bounces when it is first looked at. */
export const INVALID_VMTA = '{invalid}';
export const DEFAULT_PRIORITY = 50;

/**
 * The VMTA of a message: its `*vmta` variable, else its X-Virtual-MTA header, else the source's pattern list, else the
 * source's `default-virtual-mta`, else `{default}` (delivery guide, section 3). For a message to several recipients it
 * is one for all. A Reply when the message must be refused.
 */
export function chooseVmta(question: VmtaQuestion): VmtaChoice | Reply {
  const byPattern = matchPattern(question);
  const priority = priorityOf(question, byPattern);
  if (typeof priority !== 'number') return priority;
  const named = nameFor(question, byPattern);
  if ('code' in named) return named;
  return { ...named, priority };
}

/**
 * The VMTA of one recipient of a mail merge job: its own address decides in `rcpt-to` rules, its own `*from`, where it
 * has one, in `mail-from` rules; header rules and X-Virtual-MTA see the same for all (D3.3). The next member of a pool
 * for each recipient (D4.3).
 */
export function chooseVmtaForCopy(
  job: Omit<VmtaQuestion, 'recipients' | 'variables'>,
  recipient: { readonly address: string; readonly variables: ReadonlyMap<string, string> },
): VmtaChoice | Reply {
  const { variables } = recipient;
  return chooseVmta({
    ...job,
    sender: variables.get('*from') ?? job.sender,
    recipients: [recipient],
    variables,
  });
}

function matchPattern(question: VmtaQuestion): PatternResult | null {
  const list = question.source.get('pattern-list');
  if (!list) return null;
  return selectByPattern(question.config, list, {
    mailFrom: question.sender,
    rcptTo: question.recipients.map(({ address }) => address),
    header: question.header,
  });
}

function priorityOf({ variables }: VmtaQuestion, byPattern: PatternResult | null): number | Reply {
  const own = variables?.get('*priority');
  if (own === undefined) return byPattern?.priority ?? DEFAULT_PRIORITY;
  if (/^\d{1,3}$/.test(own.trim()) && Number(own) >= 1 && Number(own) <= 100) return Number(own);
  return reply(554, '5.5.4', '*priority must be a number from 1 to 100');
}

type Named = Omit<VmtaChoice, 'priority'>;

function nameFor(question: VmtaQuestion, byPattern: PatternResult | null): Named | Reply {
  const { source, header, variables } = question;
  const variable = variables?.get('*vmta');
  if (variable !== undefined) return byName(question, variable.trim(), '*vmta');
  const inHeader = source.get('process-x-virtual-mta') ? header.get('x-virtual-mta') : null;
  if (inHeader !== null) {
    if (inHeader.trim() === '' && source.get('allow-empty-x-virtual-mta')) {
      return { vmta: DEFAULT_VMTA, pool: '' };
    }
    return byName(question, inHeader.trim(), 'X-Virtual-MTA');
  }
  if (byPattern?.vmta) return byName(question, byPattern.vmta, `pattern-list ${source.get('pattern-list')}`);
  const fallback = source.get('default-virtual-mta');
  if (!fallback) return { vmta: DEFAULT_VMTA, pool: '' };
  if (fallback.toLowerCase() === 'by-smtp-source-ip') return bySourceIp(question);
  return byName(question, fallback, 'default-virtual-mta');
}

function byName(question: VmtaQuestion, name: string, by: string): Named | Reply {
  const { config, source } = question;
  const found = named(question, name);
  if (found) return found;
  if (source.get('reject-invalid-virtual-mta')) {
    if (name === '') return reply(550, '5.3.5', `${by} is empty`);
    return reply(550, '5.3.5', `${by} names "${name.slice(0, 100)}", which is no VirtualMTA and no pool`);
  }
  const fallback = config.global.get('invalid-virtual-mta-fallback');
  const instead = fallback ? named(question, fallback) : null;
  // Without a fallback the message is taken and bounces when it is first looked at, as the guide says.
  return instead ?? { vmta: readable(fallback || name), pool: '' };
}

/** A missing name as part of a queue's name; what comes from outside must not look like two parts, or like nothing. */
function readable(name: string): string {
  return /^[\w.+-]{1,100}$/.test(name) ? name : INVALID_VMTA;
}

/** The VMTA of this name, or the next member of the pool; null when the configuration has neither. */
function named({ config, pools }: VmtaQuestion, name: string): Named | null {
  const key = name.toLowerCase();
  const pool = config.pools.get(key);
  // A pool without members is a name that leads nowhere.
  if (pool && pool.members.length > 0) {
    const member = pools.take(pool);
    return { vmta: config.vmtas.get(member.toLowerCase())?.name ?? member, pool: pool.name };
  }
  const vmta = config.vmtas.get(key);
  return vmta ? { vmta: vmta.name, pool: '' } : null;
}

function bySourceIp({ config, session }: VmtaQuestion): Named {
  for (const vmta of config.vmtas.values()) {
    if (vmta.sourceHosts.some(({ cidr }) => isSingleAddress(cidr, session.localAddress)))
      return { vmta: vmta.name, pool: '' };
  }
  return { vmta: DEFAULT_VMTA, pool: '' };
}
