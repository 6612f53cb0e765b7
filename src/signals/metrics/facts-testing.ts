/**
 * What a history comes to in the end, by the words of SparkPost's documentation and as plainly as it can be written:
 * names, fallbacks, duplicates and enrichment, with the whole history at hand. Shares no code with the service but
 * the table of mailbox providers, which is data.
 */
import { createHash } from 'node:crypto';
import { ProviderTable } from '../ingest/providers/provider-table.ts';
import { Providers } from '../ingest/providers/providers.ts';
import type { History, WireEvent } from './history-testing.ts';

const providers = new Providers(ProviderTable.load());

export interface Fact {
  readonly id: string;
  /** Public name. */
  readonly type: string;
  /** Milliseconds. */
  readonly at: number;
  readonly message: string;
  subaccount: number;
  campaign: string;
  template: string;
  domain: string;
  sendingDomain: string;
  ip: string;
  pool: string;
  vmta: string;
  node: string;
  provider: string;
  region: string;
  transmission: string;
  to: string;
  rawTo: string;
  /** SHA-1 in hexadecimal. */
  hash: string;
  from: string;
  subject: string;
  abTest: string;
  abVersion: string;
  /** `null`: no failure. */
  readonly bounceClass: number | null;
  readonly reason: string;
  readonly rawReason: string;
  readonly link: string;
  readonly retries: number;
  readonly queueTime: number;
  readonly size: number;
  readonly prefetched: boolean;
  readonly tls: boolean;
  /** Of an injection that is due and was not told twice on its day: whether its end is known. */
  end?: 'known' | 'unknown';
}

const publicNames: Record<string, string> = {
  reception: 'injection',
  inband: 'bounce',
  tempfail: 'delay',
  rejection: 'policy_rejection',
  outofband: 'out_of_band',
  feedback: 'spam_complaint',
  gen_fail: 'generation_failure',
  gen_rejection: 'generation_rejection',
  list: 'list_unsubscribe',
  link: 'link_unsubscribe',
};

const text = (value: unknown): string => (value === undefined || value === null ? '' : String(value));
const domainOf = (address: string): string => address.slice(address.indexOf('@') + 1).toLowerCase();

function hexOf(hash: string): string {
  return hash.length === 28 ? Buffer.from(hash, 'base64').toString('hex') : hash.toLowerCase();
}

function factOf({ cls, fields }: WireEvent, uploader: string): Fact {
  const get = (name: string) => text(fields[name]);
  const type = publicNames[get('type')] ?? get('type');
  const to = get('rcpt_to');
  // A failure to make a mail has no class, whatever the event says.
  const isClassed = type !== 'generation_failure' && get('bounce_class') !== '';
  const failed = type === 'bounce' || type === 'out_of_band' || isClassed;
  const parsed = fields.user_agent_parsed as
    | { is_prefetched?: unknown; engagement_class?: string }
    | undefined;
  const agentClass = parsed?.engagement_class;
  return {
    id: get('event_id'),
    type,
    at: Math.round(Number(fields.timestamp) * 1000),
    message: cls === 'gen_event' ? '' : get('custom_message_id') || get('message_id'),
    subaccount: Number(get('subaccount_id') || 0),
    campaign: get('campaign_id'),
    template: get('template_id'),
    domain: to ? domainOf(to) : get('rcpt_domain').toLowerCase(),
    sendingDomain: get('friendly_from') ? domainOf(get('friendly_from')) : '',
    ip: get('sending_ip') || get('binding'),
    pool: get('ip_pool') || get('binding_group'),
    vmta: get('binding'),
    node: get('node_name') || (learns.test(type) ? '' : uploader),
    provider: '',
    region: '',
    transmission: get('transmission_id'),
    to: to.toLowerCase(),
    rawTo: to,
    hash: hexOf(get('rcpt_hash')),
    from: get('friendly_from'),
    subject: get('subject'),
    abTest: get('ab_test_id'),
    abVersion: get('ab_test_version'),
    // The replies of a history say "refused", which is a block, or that a mailbox is full.
    bounceClass: failed
      ? Number(get('bounce_class') || (/4\.2\.2/.test(get('raw_reason') || get('reason')) ? 22 : 50))
      : null,
    reason: (get('reason') || get('raw_reason')).replace(/\S+@\S+/, '...@...'),
    rawReason: get('raw_reason') || get('reason'),
    link: get('target_link_name') || get('target_link_url'),
    retries: Number(get('num_retries') || 0),
    queueTime: Number(get('queue_time') || 0),
    size: Number(get('msg_size') || 0),
    prefetched:
      parsed?.is_prefetched === true ||
      (agentClass === undefined
        ? get('user_agent') === 'Mozilla/5.0'
        : ['prefetch', 'scanner', 'bot'].includes(agentClass)),
    tls: get('outbound_tls') === '1',
  };
}

const learns = /open|click|unsubscribe|spam_complaint|out_of_band/;

/** Engagement learns from the injection of its message, else the delivery: of its own subaccount, else of the only one. */
function messageOf(fact: Fact, facts: readonly Fact[]): Fact | undefined {
  const told = facts.filter(
    (f) => f.message === fact.message && (f.type === 'injection' || f.type === 'delivery'),
  );
  const owners = new Set(told.map((f) => f.subaccount));
  const owner = owners.has(fact.subaccount)
    ? fact.subaccount
    : fact.subaccount === 0 && owners.size === 1
      ? [...owners][0]
      : undefined;
  const own = told.filter((f) => f.subaccount === owner);
  return own.find((f) => f.type === 'injection') ?? own[0];
}

const msgFrom = new WeakMap<Fact, string>();

function enrich(fact: Fact, message: Fact): void {
  const anonymous = fact.to === '' && fact.hash !== '';
  if (fact.subaccount === 0) fact.subaccount = message.subaccount;
  fact.campaign ||= message.campaign;
  fact.template ||= message.template;
  fact.ip ||= message.ip;
  fact.pool ||= message.pool;
  fact.vmta ||= message.vmta;
  fact.node = message.node;
  fact.transmission ||= message.transmission;
  fact.from ||= message.from;
  fact.sendingDomain ||= message.sendingDomain || domainOf(msgFrom.get(message)!);
  fact.subject ||= message.subject;
  fact.abTest ||= message.abTest;
  fact.abVersion ||= message.abVersion;
  if (fact.to === '' && !anonymous) {
    fact.to = message.to;
    fact.rawTo = message.rawTo;
    fact.hash = message.hash;
  }
  fact.domain ||= message.domain;
}

const DAY = 24 * 3_600_000;

/** Mail that is older than 4 days and 13 hours, in whole hours, is due: a delivery or a bounce of it should be known. */
function tellEnds(facts: readonly Fact[], now: number): void {
  const mailOf = (f: Fact) => JSON.stringify([f.message, f.subaccount, f.hash || hashOf(f.to)]);
  const limit = Math.floor((now - 109 * 3_600_000) / 3_600_000) * 3_600_000;
  const dayOf = (f: Fact) => Math.floor(f.at / DAY);
  const mails = new Map<string, Fact[]>();
  for (const fact of facts) {
    if (!/^(injection|delivery|bounce)$/.test(fact.type)) continue;
    mails.set(mailOf(fact), [...(mails.get(mailOf(fact)) ?? []), fact]);
  }
  for (const mail of mails.values()) {
    const injections = mail
      .filter((f) => f.type === 'injection')
      .sort((a, b) => a.at - b.at || (a.id < b.id ? -1 : 1));
    for (const fact of injections) {
      if (fact.at >= limit || injections.find((f) => dayOf(f) === dayOf(fact)) !== fact) continue;
      const isKnown = mail.some((f) => f.type !== 'injection' && dayOf(f) >= dayOf(fact));
      fact.end = isKnown ? 'known' : 'unknown';
    }
  }
}

/**
 * The events of a history that count, each once, as they are known in the end; in no order. `uploader`: label of the key
 * that they come with.
 */
export function factsOf(history: History, uploader: string): Fact[] {
  const facts = new Map<string, Fact>();
  for (const batch of history.batches) {
    for (const event of batch) {
      const fact = factOf(event, uploader);
      if (history.now - fact.at >= history.ageHours * 3_600_000 || facts.has(fact.id)) continue;
      msgFrom.set(fact, text(event.fields.msg_from));
      facts.set(fact.id, fact);
    }
  }
  const all = [...facts.values()];
  const messages = new Map<Fact, Fact>();
  for (const fact of all) {
    const message = learns.test(fact.type) ? messageOf(fact, all) : undefined;
    if (message) messages.set(fact, message);
  }
  for (const [fact, message] of messages) enrich(fact, message);
  for (const fact of all) {
    const sender = msgFrom.get(fact);
    if (fact.sendingDomain === '' && sender) fact.sendingDomain = domainOf(sender);
    const provider = providers.of(fact.domain);
    fact.provider = provider.name;
    fact.region = provider.region;
  }
  tellEnds(all, history.now);
  return all;
}

/** SHA-1 of an address as senders of hashes make it, in hexadecimal. */
export function hashOf(address: string): string {
  return createHash('sha1').update(address.toLowerCase()).digest('hex');
}
