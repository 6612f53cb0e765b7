/** Reports on reasons, links and attempts, counted the slow way. */
import type { Fact } from './facts-testing.ts';
import { categories, categoryOf } from './recount-testing.ts';

type Row = Record<string, string | number>;

/** Names of classes, as far as the histories have them. */
const classNames: Record<number, string> = {
  1: 'Undetermined',
  10: 'Invalid Recipient',
  20: 'Soft Bounce',
  22: 'Mailbox Full',
  24: 'Timeout',
  25: 'Admin Failure',
  30: 'Generic Bounce: No RCPT',
  40: 'Generic Bounce',
  50: 'Mail Block',
  51: 'Spam Block',
  54: 'Relaying Denied',
  60: 'Auto-Reply',
  80: 'Subscribe',
  90: 'Unsubscribe',
  100: 'Challenge-Response',
};

/** Facts by what makes them one row. */
function grouped(facts: readonly Fact[], key: (f: Fact) => unknown): Fact[][] {
  const groups = new Map<string, Fact[]>();
  for (const fact of facts) {
    const name = JSON.stringify(key(fact));
    groups.set(name, [...(groups.get(name) ?? []), fact]);
  }
  return [...groups.values()];
}

const number = (facts: readonly Fact[], which: (f: Fact) => boolean) => facts.filter(which).length;
const isAdmin = (f: Fact) => categoryOf(f.bounceClass) === 'Admin';

function bounces(facts: readonly Fact[], keys: (f: Fact) => Row): Row[] {
  const failed = facts.filter((f) => f.type === 'bounce' || f.type === 'out_of_band');
  return grouped(failed, (f) => [keys(f), f.bounceClass]).map((rows): Row => {
    const [first] = rows;
    const category = categoryOf(first!.bounceClass);
    return {
      ...keys(first!),
      bounce_class_name: classNames[first!.bounceClass!] ?? 'Undetermined',
      bounce_category_id: categories.find(([name]) => name === category)![1],
      bounce_category_name: category,
      classification_id: first!.bounceClass!,
      count_bounce: number(rows, (f) => !isAdmin(f)),
      count_inband_bounce: number(rows, (f) => f.type === 'bounce' && !isAdmin(f)),
      count_outofband_bounce: number(rows, (f) => f.type === 'out_of_band' && !isAdmin(f)),
      count_admin_bounce: number(rows, isAdmin),
      count_hard_bounce: number(rows, () => category === 'Hard'),
      count_soft_bounce: number(rows, () => category === 'Soft'),
      count_block_bounce: number(rows, () => category === 'Block'),
      count_undetermined_bounce: number(rows, () => category === 'Undetermined'),
      count_expired: number(rows, (f) => f.type === 'bounce' && f.bounceClass === 24),
    };
  });
}

const rejections: Record<string, readonly [id: number, name: string]> = {
  policy_rejection: [1, 'Policy Rejection'],
  generation_rejection: [2, 'Generation Rejection'],
  generation_failure: [3, 'Generation Failure'],
};

function rejected(facts: readonly Fact[], keys: (f: Fact) => Row): Row[] {
  const own = facts.filter((f) => f.type in rejections);
  return grouped(own, (f) => [keys(f), f.type]).map((rows) => {
    const [id, name] = rejections[rows[0]!.type]!;
    return {
      ...keys(rows[0]!),
      count_rejected: rows.length,
      rejection_category_id: id,
      rejection_type: name,
      rejection_category_name: name,
    };
  });
}

function delayed(facts: readonly Fact[], keys: (f: Fact) => Row): Row[] {
  return grouped(
    facts.filter((f) => f.type === 'delay'),
    keys,
  ).map((rows) => ({
    ...keys(rows[0]!),
    count_delayed: rows.length,
    count_delayed_first: number(rows, (f) => f.retries === 0),
  }));
}

function links(facts: readonly Fact[]): Row[] {
  const clicks = facts.filter((f) => (f.type === 'click' || f.type === 'amp_click') && f.link !== '');
  return grouped(clicks, (f) => f.link).map((rows) => {
    const messages = grouped(rows, (f) => [f.message, f.subaccount]).length;
    return {
      link_name: rows[0]!.link,
      count_clicked: rows.length,
      count_raw_clicked: messages,
      count_raw_clicked_approx: messages,
    };
  });
}

function attempts(facts: readonly Fact[]): Row[] {
  const attempt = (f: Fact) => (f.retries >= 2 ? '3+' : String(f.retries + 1));
  return grouped(
    facts.filter((f) => f.type === 'delivery'),
    attempt,
  ).map((rows) => ({ attempt: attempt(rows[0]!), count_delivered: rows.length }));
}

const reason = (f: Fact): Row => ({ reason: f.reason });
const withDomain = (f: Fact): Row => ({ reason: f.reason, domain: f.domain });

export const reportRecounts: readonly (readonly [path: string, rows: (facts: readonly Fact[]) => Row[]])[] = [
  ['bounce-reason', (facts) => bounces(facts, reason)],
  ['bounce-reason/domain', (facts) => bounces(facts, withDomain)],
  ['bounce-classification', (facts) => bounces(facts, () => ({}))],
  ['rejection-reason', (facts) => rejected(facts, reason)],
  ['rejection-reason/domain', (facts) => rejected(facts, withDomain)],
  ['delay-reason', (facts) => delayed(facts, reason)],
  ['delay-reason/domain', (facts) => delayed(facts, withDomain)],
  ['link-name', links],
  ['attempt', attempts],
];
