import type { SmtpPatternList } from './lists.ts';
import type { ReplyActions } from './values/rules.ts';

/**
 * Actions of every rule that matches a reply; of conflicting ones the first wins. Null when no rule matches. The text
 * begins with the code; lines of a longer reply are joined by blanks.
 */
export function actionsFor(list: SmtpPatternList, reply: string): ReplyActions | null {
  let sum: ReplyActions | null = null;
  for (const { pattern, actions } of list.rules) {
    if (!pattern.test(reply)) continue;
    if (!sum) {
      sum = actions;
      continue;
    }
    sum = {
      mode: sum.mode ?? actions.mode,
      skipMx: sum.skipMx || (actions.skipMx && !sum.bounceQueue),
      bounceQueue: sum.bounceQueue || (actions.bounceQueue && !sum.skipMx),
      bounceRcpt: sum.bounceRcpt || actions.bounceRcpt,
      disableSourceIp: sum.disableSourceIp || actions.disableSourceIp,
      reenableAfter: sum.reenableAfter ?? actions.reenableAfter,
      deferQueue: sum.deferQueue || actions.deferQueue,
    };
  }
  return sum;
}
