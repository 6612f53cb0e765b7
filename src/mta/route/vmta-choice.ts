import type { Config, Settings } from '../../config/index.ts';
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
  readonly session: { readonly localAddress: string };
  readonly pools: PoolRotation;
}

export interface VmtaChoice {
  /** Name as the configuration spells it; `{default}` when nothing was chosen. */
  readonly vmta: string;
  /** The pool it was chosen through; '' when none. */
  readonly pool: string;
}

export const DEFAULT_VMTA = '{default}';

/**
 * The VMTA of a message: its X-Virtual-MTA header, else the source's pattern list, else the source's
 * `default-virtual-mta`, else `{default}` (delivery guide, section 3). A Reply when the message must be refused.
 */
export function chooseVmta(question: VmtaQuestion): VmtaChoice | Reply {
  const { config, source, header } = question;
  if (source.get('process-x-virtual-mta')) {
    const named = header.get('x-virtual-mta');
    if (named !== null && named.trim() !== '') return byName(question, named.trim(), 'X-Virtual-MTA');
    if (named !== null && !source.get('allow-empty-x-virtual-mta')) {
      return reply(550, '5.3.5', 'the X-Virtual-MTA header is empty');
    }
    if (named !== null) return { vmta: DEFAULT_VMTA, pool: '' };
  }
  const byPattern = source.get('pattern-list');
  if (byPattern) {
    const selected = selectByPattern(config, byPattern, {
      mailFrom: question.sender,
      rcptTo: question.recipients.map(({ address }) => address),
      header,
    });
    if (selected?.vmta) return byName(question, selected.vmta, `pattern-list ${byPattern}`);
  }
  const fallback = source.get('default-virtual-mta');
  if (fallback === 'by-smtp-source-ip') return bySourceIp(question);
  if (fallback) return byName(question, fallback, 'default-virtual-mta');
  return { vmta: DEFAULT_VMTA, pool: '' };
}

function byName(question: VmtaQuestion, name: string, by: string): VmtaChoice | Reply {
  const { config, source } = question;
  const found = named(question, name);
  if (found) return found;
  if (source.get('reject-invalid-virtual-mta')) {
    return reply(550, '5.3.5', `${by} names "${name.slice(0, 100)}", which is no VirtualMTA and no pool`);
  }
  const fallback = config.global.get('invalid-virtual-mta-fallback');
  // Without a fallback the message is taken and bounces when it is first looked at, as the guide says.
  return (fallback && named(question, fallback)) || { vmta: fallback || name, pool: '' };
}

/** The VMTA of this name, or the next member of the pool; null when the configuration has neither. */
function named({ config, pools }: VmtaQuestion, name: string): VmtaChoice | null {
  const key = name.toLowerCase();
  const pool = config.pools.get(key);
  if (pool) {
    const member = pools.take(pool);
    return { vmta: config.vmtas.get(member.toLowerCase())?.name ?? member, pool: pool.name };
  }
  const vmta = config.vmtas.get(key);
  return vmta ? { vmta: vmta.name, pool: '' } : null;
}

function bySourceIp({ config, session }: VmtaQuestion): VmtaChoice {
  for (const vmta of config.vmtas.values()) {
    if (vmta.sourceHosts.some(({ cidr }) => isSingleAddress(cidr, session.localAddress)))
      return { vmta: vmta.name, pool: '' };
  }
  return { vmta: DEFAULT_VMTA, pool: '' };
}
