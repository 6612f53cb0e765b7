/** The messages that benchmarks send. */

const HEAD = [
  'From: "Brand News" <news@brand.test>',
  'To: Reader <reader@far.test>',
  'Subject: What is new this week',
  'Date: Fri, 1 Jan 2027 09:00:00 +0000',
  'Message-ID: <week-1@brand.test>',
  'MIME-Version: 1.0',
];

/** A plain text of so many bytes, head included. */
export function plainMessage(size: number): Buffer {
  const line = `${'x'.repeat(74)}\r\n`;
  const head = `${HEAD.join('\r\n')}\r\nContent-Type: text/plain\r\n\r\n`;
  return Buffer.from(head + line.repeat(Math.ceil(size / 76))).subarray(0, Math.max(head.length, size));
}

const LINKS = 25;

/** A newsletter: HTML of 20 kB with 25 links, each with a picture and a paragraph, as senders of campaigns make them. */
export function newsletter(): Buffer {
  const item = (n: number) =>
    `<tr><td style="padding:12px 24px;font-family:Arial,sans-serif;font-size:14px;color:#333333">\r\n` +
    `<img src="https://img.brand.test/item-${n}.png" width="120" height="80" alt="Item ${n}">\r\n` +
    `<a href="https://www.brand.test/item/${n}?campaign=week-1&amp;place=${n}" style="color:#0044cc">Item ${n}</a>\r\n` +
    `<p>${'Some words about what this item is good for, and why it is cheaper now. '.repeat(6)}</p>\r\n</td></tr>\r\n`;
  const items = Array.from({ length: LINKS }, (_, i) => item(i + 1)).join('');
  const html = `<!DOCTYPE html>\r\n<html><head><title>News</title></head><body><table>\r\n${items}</table></body></html>\r\n`;
  const filler = Math.max(0, 20_480 - html.length);
  return Buffer.from(
    `${HEAD.join('\r\n')}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n` +
      `${html}<!-- ${'-'.repeat(70)}\r\n${`${'x'.repeat(74)}\r\n`.repeat(Math.floor(filler / 76))}-->\r\n`,
  );
}
