import { createHash } from 'node:crypto';
import { domainToAscii, parseAddress } from './address.ts';
import { Header, headerField } from './header.ts';
import { firstAddress } from './header-text.ts';
import { encodeBase64, encodeQuotedPrintable } from './transfer-encoding.ts';

/** One part of a report: its Content- fields, complete, and its content with the transfer encoding done. */
export interface WrittenPart {
  readonly fields: readonly string[];
  readonly content: Buffer;
}

/** RFC 5322 section 2.1.1: octets of a line without its line ending. */
const LONGEST_LINE = 998;
const LONGEST_VALUE = 900;

/**
 * A field that holds text from outside: ASCII alone, one logical line, folded, at most `most` characters. Words that
 * would not fit a line are broken. '' for an empty value, so that an unknown fact leaves no empty field.
 */
export function reportField(name: string, value: string, most = LONGEST_VALUE): string {
  const text = asciiLine(value)
    .slice(0, most)
    .replace(/[^ ]{900}(?=[^ ])/g, '$& ');
  return text === '' ? '' : headerField(name, text);
}

/** Text on one line in ASCII: controls become a blank, every other character a question mark. */
export function asciiLine(text: string): string {
  return text
    .replace(/[\u0000-\u001f\u007f]+/g, ' ')
    .replace(/[^ -~]/gu, '?')
    .trim();
}

/**
 * An address as header fields hold it: the domain in A-labels, so that only a local part beyond ASCII needs SMTPUTF8.
 * '' for what is no address: nothing from outside may add words to a field.
 */
export function headerAddress(address: string): string {
  const parsed = parseAddress(address);
  return parsed ? `${parsed.local}@${domainToAscii(parsed.domain) ?? parsed.domain}` : '';
}

/** The To field for an envelope address; a field that names nobody if it is none. */
export function toField(address: string): string {
  const written = headerAddress(address);
  return headerField('To', written === '' ? 'undisclosed-recipients:;' : `<${written}>`);
}

/** The From field for the operator's text, `Name <address>` or an address, with a name beyond ASCII encoded. */
export function fromField(text: string): string {
  const mailbox = firstAddress(text);
  if (!mailbox || /^[ -~]*$/.test(text)) return reportField('From', text);
  const address = headerAddress(mailbox.address);
  return headerField('From', mailbox.name === '' ? address : `${encodeWords(mailbox.name)} <${address}>`);
}

/** RFC 2047: words of at most 75 characters, no character parted. */
function encodeWords(text: string): string {
  const words: string[] = [];
  let word = '';
  for (const character of text.slice(0, LONGEST_VALUE).toWellFormed()) {
    if (Buffer.byteLength(word + character) > 45) {
      words.push(word);
      word = '';
    }
    word += character;
  }
  words.push(word);
  return words.map((part) => `=?utf-8?B?${Buffer.from(part).toString('base64')}?=`).join(' ');
}

/** Words for people. Lines are CRLF; what is beyond ASCII or too long for a line is written quoted-printable. */
export function textPart(text: string): WrittenPart {
  const content = Buffer.from(text);
  const plain = fitsLines(content) && isSevenBit(content);
  return {
    fields: [
      `Content-Type: text/plain; charset=${plain ? 'us-ascii' : 'utf-8'}\r\n`,
      `Content-Transfer-Encoding: ${plain ? '7bit' : 'quoted-printable'}\r\n`,
    ],
    content: plain ? content : encodeQuotedPrintable(content),
  };
}

/** A machine-readable part from complete fields. */
export function fieldsPart(type: string, fields: readonly string[]): WrittenPart {
  const content = Buffer.from(fields.join(''));
  return {
    fields: [
      `Content-Type: ${type}\r\n`,
      `Content-Transfer-Encoding: ${isSevenBit(content) ? '7bit' : '8bit'}\r\n`,
    ],
    content,
  };
}

/**
 * The message that a report is about, whole or its header alone, octet for octet. A whole message with lines that mail
 * may not carry goes as message/global, which unlike message/rfc822 may be encoded (RFC 6532 section 3.7).
 */
export function originalPart(original: Buffer, how: 'full' | 'headers'): WrittenPart {
  if (how === 'headers') {
    const header = original.subarray(0, new Header(original).end);
    const plain = isSevenBit(header) && fitsLines(header);
    return {
      fields: [
        'Content-Type: text/rfc822-headers\r\n',
        `Content-Transfer-Encoding: ${plain ? '7bit' : 'quoted-printable'}\r\n`,
      ],
      content: plain ? header : encodeQuotedPrintable(header),
    };
  }
  if (!fitsLines(original)) {
    return {
      fields: ['Content-Type: message/global\r\n', 'Content-Transfer-Encoding: base64\r\n'],
      content: encodeBase64(original),
    };
  }
  return {
    fields: [
      'Content-Type: message/rfc822\r\n',
      `Content-Transfer-Encoding: ${isSevenBit(original) ? '7bit' : '8bit'}\r\n`,
    ],
    content: original,
  };
}

/** A complete multipart/report (RFC 6522) from complete header fields. */
export function multipartReport(
  fields: readonly string[],
  reportType: string,
  parts: readonly WrittenPart[],
): Buffer {
  // Made from all that stands in the parts, so no part can have been written to contain it.
  const hash = createHash('sha256');
  for (const field of fields) hash.update(field);
  for (const part of parts) hash.update(part.content);
  const boundary = `=_${hash.digest('hex').slice(0, 40)}`;
  const pieces: Buffer[] = [
    Buffer.from(
      `${fields.join('')}MIME-Version: 1.0\r\n` +
        `Content-Type: multipart/report; report-type=${reportType};\r\n\tboundary="${boundary}"\r\n\r\n`,
    ),
  ];
  for (const part of parts) {
    pieces.push(
      Buffer.from(`--${boundary}\r\n${part.fields.join('')}\r\n`),
      part.content,
      Buffer.from('\r\n'),
    );
  }
  pieces.push(Buffer.from(`--${boundary}--\r\n`));
  return Buffer.concat(pieces);
}

/** A complete mail of one text/plain part. */
export function plainMail(fields: readonly string[], part: WrittenPart): Buffer {
  return Buffer.concat([
    Buffer.from(`${fields.join('')}MIME-Version: 1.0\r\n${part.fields.join('')}\r\n`),
    part.content,
  ]);
}

function isSevenBit(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i]! > 0x7f) return false;
  return true;
}

/** Whether lines end with CRLF, none is too long and none holds NUL: what 7bit and 8bit promise (RFC 2045 2.7, 2.8). */
function fitsLines(bytes: Uint8Array): boolean {
  let start = 0;
  for (let i = 0; i < bytes.length; i++) {
    const c = bytes[i]!;
    if (c === 0x0d) {
      if (bytes[i + 1] !== 0x0a || i - start > LONGEST_LINE) return false;
      start = i + 2;
      i++;
    } else if (c === 0x0a || c === 0) return false;
  }
  return bytes.length - start <= LONGEST_LINE;
}
