/** Line ends of messages that did not come over SMTP: files and JSON texts mostly have bare LFs. */

const CR = 0x0d;
const LF = 0x0a;

/**
 * The content with each line ended by CRLF; itself when that is so already. Null when a CR stands alone: no line end
 * that anybody means, and some later server may take it for one.
 */
export function withCrlf(content: Buffer): Buffer | null {
  for (let at = content.indexOf(CR); at !== -1; at = content.indexOf(CR, at + 1)) {
    if (content[at + 1] !== LF) return null;
  }
  let bare = 0;
  for (let at = content.indexOf(LF); at !== -1; at = content.indexOf(LF, at + 1)) {
    if (at === 0 || content[at - 1] !== CR) bare++;
  }
  if (bare === 0) return content;
  const out = Buffer.allocUnsafe(content.length + bare);
  let from = 0;
  let used = 0;
  for (let at = content.indexOf(LF); at !== -1; at = content.indexOf(LF, at + 1)) {
    if (at > 0 && content[at - 1] === CR) continue;
    used += content.copy(out, used, from, at);
    out[used++] = CR;
    from = at;
  }
  content.copy(out, used, from);
  return out;
}
