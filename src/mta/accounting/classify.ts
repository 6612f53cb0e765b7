/** What a reply would be called in records and events, and which rules say so. */
import { type Config, STOCK } from '../../config/index.ts';
import { bounceClassOf, replyParts } from '../../events/bounce-class.ts';
import { bounceClasses } from '../../events/bounce-classes.ts';
import { matchText } from './category.ts';
import { statusText } from './dsn-text.ts';

export interface Classification {
  /** Enhanced status code that records show. */
  readonly status: string;
  readonly category: string;
  /** Where the category's pattern stands: `FILE:LINE`, `stock table` with its row, or '' when none matched. */
  readonly rule: string;
  /** The pattern, as between slashes. */
  readonly pattern: string;
  /** What the patterns were compared with. */
  readonly text: string;
  readonly bounceClass: number;
  readonly bounceClassName: string;
  /** Hard, Soft, Block, Admin, Undetermined. */
  readonly bounceClassCategory: string;
  /** The class's rule and the words that it found. */
  readonly bounceClassRule: string;
}

/** `reply` is what a remote host said: `550 5.1.1 no such user`, with or without `smtp;`. */
export function classify(reply: string, config: Config): Classification {
  const line = reply.replace(/[\u0000-\u001f\u007f]+/g, ' ').trim();
  const diagnostic = /^[\w-]{1,20};/.test(line) ? line : `smtp;${line}`;
  const parts = replyParts(diagnostic);
  const digit = parts.code > 0 ? Math.floor(parts.code / 100) : Number(parts.status.charAt(0) || 5);
  // As at delivery: an enhanced code that contradicts the basic one does not count.
  const status = parts.status.startsWith(String(digit)) ? parts.status : `${digit}.0.0`;
  const text = matchText(status, statusText(status), diagnostic);
  const found = config.bounceCategories.find(({ pattern }) => pattern.test(text));
  const sparkPost = bounceClassOf({ status, statusText: statusText(status), diagnostic });
  const known = bounceClasses.find(({ code }) => code === sparkPost.code);
  return {
    status,
    category: found?.category ?? 'other',
    rule: !found
      ? ''
      : found.origin.file === STOCK
        ? `stock table, row ${config.bounceCategories.filter(({ origin }) => origin.file === STOCK).indexOf(found) + 1}`
        : `${found.origin.file}:${found.origin.line}`,
    pattern: found?.pattern.source ?? '',
    text,
    bounceClass: sparkPost.code,
    bounceClassName: known?.name ?? 'Success',
    bounceClassCategory: known?.category ?? '',
    bounceClassRule: sparkPost.explain,
  };
}
