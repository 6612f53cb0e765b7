import { type Header, headerText, unfold } from '../../mail/header.ts';
import { type MergeValues, mergeText } from '../../mail/mail-merge.ts';

/** The header of a message as its rules read it. */
export interface HeaderView {
  /** Value of the first field of that name, unfolded and without outer blanks; null when there is none. */
  get(name: string): string | null;
}

const LONGEST_VALUE = 64 * 1024;

/** The header of one recipient's message, of a template and its variables. */
export function mergedView(header: Header, values: MergeValues, expandUndefined: boolean): HeaderView {
  return {
    get(name) {
      const field = header.find(name);
      if (!field) return null;
      const raw = header.rawValue(field).subarray(0, LONGEST_VALUE);
      if (!raw.includes(0x5b)) return header.value(field);
      const merged = mergeText(raw, values, { expandUndefined, limit: 4 * LONGEST_VALUE });
      return merged ? unfold(headerText(merged)) : '';
    },
  };
}
