/** What a server says: RFC 5321 section 4.2, with the enhanced status code of RFC 2034 and 3463. */
export interface Reply {
  /** 200 to 599. */
  readonly code: number;
  /** `5.1.1`; left out of the text when absent or when ENHANCEDSTATUSCODES is off. */
  readonly enhanced?: string;
  /** One line, or several for a multi-line reply. Line ends and other controls in it become blanks. */
  readonly text: string | readonly string[];
  /** Hang up after this reply. A 421 always does. */
  readonly close?: boolean;
}

export function reply(code: number, enhanced: string, text: string | readonly string[]): Reply {
  return enhanced === '' ? { code, text } : { code, enhanced, text };
}

/** The same, hanging up afterwards. */
export function lastReply(code: number, enhanced: string, text: string | readonly string[]): Reply {
  return { ...reply(code, enhanced, text), close: true };
}

const CONTROLS = /[\u0000-\u0008\u000a-\u001f\u007f]/;
const ALL_CONTROLS = /[\u0000-\u0008\u000a-\u001f\u007f]+/g;

/** Lines as they go over the wire, CRLF included. A reply can not be broken by what a handler put into its text. */
export function formatReply(reply: Reply, withEnhanced: boolean): string {
  const prefix = withEnhanced && reply.enhanced ? `${reply.enhanced} ` : '';
  if (typeof reply.text === 'string') return `${reply.code} ${prefix}${oneLine(reply.text)}\r\n`;
  const last = reply.text.length - 1;
  if (last < 0) return `${reply.code} ${prefix}\r\n`;
  let out = '';
  for (let i = 0; i <= last; i++) {
    out += `${reply.code}${i === last ? ' ' : '-'}${prefix}${oneLine(reply.text[i]!)}\r\n`;
  }
  return out;
}

function oneLine(text: string): string {
  return CONTROLS.test(text) ? text.replace(ALL_CONTROLS, ' ') : text;
}
