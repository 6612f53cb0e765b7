import { withCrlf } from '../line-ends.ts';
import { isBsmtpFile, parseBsmtpFile } from './bsmtp-file.ts';
import { bad, type FileRules, type PickupContent } from './pickup-content.ts';
import { isPlainFile, parsePlainFile } from './plain-file.ts';

/** Reads a file of either form; the first line tells which it is. */
export function parsePickupFile(raw: Buffer, rules: FileRules): PickupContent {
  const plain = isPlainFile(raw);
  if (!plain && !isBsmtpFile(raw)) {
    return bad('it begins neither with x-sender nor with HELO, EHLO, MAIL, XACK or XMRG');
  }
  const content = withCrlf(raw);
  if (content === null) return bad('it holds a CR that is not part of a line end');
  return plain ? parsePlainFile(content, rules) : parseBsmtpFile(content, rules);
}
