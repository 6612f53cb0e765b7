import type { Accepted, Done, LedgerRecord, PlannedAction, Refused, Snapshot } from './records.ts';

/** How many message copies and senders' attempts are remembered; the oldest are forgotten beyond. */
const MOST_SEEN = 500_000;
const MOST_ATTEMPTS = 200_000;
const MOST_LISTED = 20_000;

/** One message copy as the control interface shows it. */
export interface Listed {
  readonly record: Accepted;
  readonly done: Done[];
  dkim: 'pass' | 'fail' | 'none' | 'not checked';
}

/** What the sink knows, made from the ledger's records and from nothing else. */
export class Tally {
  readonly #counters = new Map<string, number>();
  readonly #seen = new Set<string>();
  readonly #attempts = new Map<string, number>();
  readonly #listed = new Map<string, Listed>();
  /** Copies with something left to do, and which plan positions are done. */
  readonly #pending = new Map<string, { record: Accepted; done: Set<number> }>();
  readonly #refusals: Refused[] = [];

  apply(record: LedgerRecord): void {
    switch (record.k) {
      case 'accepted':
        this.#accepted(record);
        break;
      case 'refused':
        this.#count(record.code < 500 ? 'deferred' : 'refused');
        this.#count(`inband_${record.code}`);
        if (record.label === 'greylist') this.#count('greylisted');
        this.#attempted(record.from, record.rcpt, record.attempt);
        this.#refusals.push(record);
        if (this.#refusals.length > 2000) this.#refusals.splice(0, 1000);
        break;
      case 'dropped':
        this.#count('dropped_connection');
        break;
      case 'done':
        this.#done(record);
        break;
      case 'auth': {
        this.#count(`${record.dkim}_dkim`);
        const listed = this.#listed.get(record.id);
        if (listed) listed.dkim = record.dkim;
        break;
      }
      case 'snapshot':
        for (const [name, value] of Object.entries(record.counters)) this.#counters.set(name, value);
        for (const { record: open, done } of record.open) {
          this.#remember(`${open.mid}\0${open.rcpt}`);
          this.#pending.set(open.id, { record: open, done: new Set(done) });
        }
        break;
    }
  }

  /** Takes note that this copy is about to be accepted; false if it was before (a duplicate). */
  claim(mid: string, rcpt: string): boolean {
    const key = `${mid}\0${rcpt}`;
    if (this.#seen.has(key)) return false;
    this.#remember(key);
    return true;
  }

  /** Takes the claim back: the copy was not accepted after all. */
  unclaim(mid: string, rcpt: string): void {
    this.#seen.delete(`${mid}\0${rcpt}`);
  }

  wasAccepted(mid: string, rcpt: string): boolean {
    return this.#seen.has(`${mid}\0${rcpt}`);
  }

  /** How many attempts this sender has made for this recipient. */
  attemptsBy(from: string, rcpt: string): number {
    return this.#attempts.get(`${from}\0${rcpt}`) ?? 0;
  }

  /** Notes an attempt and says which it is, from 1; at once, so that two connections do not both make the same one. */
  attempted(from: string, rcpt: string): number {
    const attempt = this.attemptsBy(from, rcpt) + 1;
    this.#attempted(from, rcpt, attempt);
    return attempt;
  }

  counter(name: string): number {
    return this.#counters.get(name) ?? 0;
  }

  /** All counters, sorted by name. */
  counters(): Record<string, number> {
    return Object.fromEntries([...this.#counters].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  pendingActions(): number {
    let sum = 0;
    for (const { record, done } of this.#pending.values()) sum += record.plan.length - done.size;
    return sum;
  }

  /** Copies whose plan is not finished, with the positions that are left. */
  *unfinished(): Generator<{ record: Accepted; left: { n: number; action: PlannedAction }[] }> {
    for (const { record, done } of this.#pending.values()) {
      const left = record.plan.flatMap((action, n) => (done.has(n) ? [] : [{ n, action }]));
      yield { record, left };
    }
  }

  /** What a new ledger must begin with so that nothing that still counts is lost with the old one. */
  snapshot(at: number): Snapshot {
    const open = [...this.#pending.values()].map(({ record, done }) => ({ record, done: [...done] }));
    return { k: 'snapshot', at, counters: this.counters(), open };
  }

  find(id: string): Listed | undefined {
    return this.#listed.get(id);
  }

  /** The latest copies, newest first, that fit the conditions. */
  list(where: { tag?: string; rcpt?: string; since?: number; limit: number }): Listed[] {
    const found: Listed[] = [];
    for (const listed of [...this.#listed.values()].reverse()) {
      if (found.length >= where.limit) break;
      const { record } = listed;
      if (where.tag !== undefined && record.tag !== where.tag) continue;
      if (where.rcpt !== undefined && record.rcpt !== where.rcpt) continue;
      if (where.since !== undefined && record.at < where.since) continue;
      found.push(listed);
    }
    return found;
  }

  /** The latest refusals, newest first. */
  refusals(where: { tag?: string; rcpt?: string; since?: number; limit: number }): Refused[] {
    return this.#refusals
      .filter(
        (r) =>
          (where.tag === undefined || r.tag === where.tag) &&
          (where.rcpt === undefined || r.rcpt === where.rcpt) &&
          (where.since === undefined || r.at >= where.since),
      )
      .reverse()
      .slice(0, where.limit);
  }

  clear(): void {
    this.#counters.clear();
    this.#seen.clear();
    this.#attempts.clear();
    this.#listed.clear();
    this.#pending.clear();
    this.#refusals.length = 0;
  }

  #accepted(record: Accepted): void {
    this.#count('total_messages');
    this.#count(record.dup ? 'duplicate' : 'distinct');
    if (record.reply === '') this.#count('unanswered');
    if (record.trap) this.#count('trap');
    if (record.plan.length === 0) this.#count('accept');
    if (record.foreignImages > 0) this.#count('open_url_not_sparkpost', record.foreignImages);
    if (record.foreignLinks > 0) this.#count('click_url_not_sparkpost', record.foreignLinks);
    this.#remember(`${record.mid}\0${record.rcpt}`);
    if (record.plan.length > 0) this.#pending.set(record.id, { record, done: new Set() });
    this.#listed.set(record.id, { record, done: [], dkim: 'not checked' });
    forgetOldest(this.#listed, MOST_LISTED);
  }

  #done(record: Done): void {
    const pending = this.#pending.get(record.id);
    if (pending) {
      pending.done.add(record.n);
      if (pending.done.size >= pending.record.plan.length) this.#pending.delete(record.id);
    }
    this.#listed.get(record.id)?.done.push(record);
    const returned = record.kind === 'oob' || record.kind === 'fbl' || record.kind === 'autoreply';
    const name = returned && record.kind !== 'autoreply' ? `${record.kind}_sent` : record.kind;
    if (record.ok) {
      this.#count(name);
      if (record.who !== 'person') this.#count(`${record.who}_${record.kind}`);
    } else if (!record.doubt) {
      this.#count(`${record.kind}_failed`);
    }
    if (record.doubt) this.#count(`${record.kind}_in_doubt`);
    if (record.fault) this.#count(`${returned ? 'reply' : 'tracker'}_fault_${record.fault}`);
  }

  #count(name: string, by = 1): void {
    this.#counters.set(name, (this.#counters.get(name) ?? 0) + by);
  }

  #remember(key: string): void {
    this.#seen.add(key);
    if (this.#seen.size > MOST_SEEN) {
      for (const oldest of this.#seen) {
        this.#seen.delete(oldest);
        break;
      }
    }
  }

  #attempted(from: string, rcpt: string, attempt: number): void {
    const key = `${from}\0${rcpt}`;
    if ((this.#attempts.get(key) ?? 0) >= attempt) return;
    this.#attempts.set(key, attempt);
    forgetOldest(this.#attempts, MOST_ATTEMPTS);
  }
}

function forgetOldest(map: Map<string, unknown>, most: number): void {
  if (map.size <= most) return;
  for (const oldest of map.keys()) {
    map.delete(oldest);
    return;
  }
}
