import { createHash } from 'node:crypto';
import { Header } from '../mail/header.ts';
import { decodeCharset } from '../mail/header-text.ts';
import { leaves, parseMime } from '../mail/mime.ts';
import { decodeBase64, decodeQuotedPrintable } from '../mail/transfer-encoding.ts';
import { type HtmlLinks, htmlLinks } from './html-links.ts';

const LONGEST_ID = 998;
/** HTML beyond this is not read: people's clients clip long before. */
const MOST_HTML = 2 * 1024 * 1024;

/** What the sink reads in a message that it took. The HTML is read only when somebody asks for it. */
export class ReceivedMail {
  readonly content: Buffer;
  /** Message-ID without brackets; a hash of the content when there is none. */
  readonly messageId: string;
  readonly header: Header;
  #links: readonly HtmlLinks[] | undefined;

  constructor(content: Buffer) {
    this.content = content;
    this.header = new Header(content);
    const id = (this.header.get('message-id') ?? '').trim().replace(/^<|>$/g, '').slice(0, LONGEST_ID);
    this.messageId = id || `sha1:${createHash('sha1').update(content).digest('hex')}`;
  }

  /** Machines must not be answered: RFC 3834, and what mailing lists say. */
  get isAutomatic(): boolean {
    const submitted = (this.header.get('auto-submitted') ?? 'no').toLowerCase();
    return !submitted.startsWith('no');
  }

  /** The URI for one-click unsubscription (RFC 8058), https before http; '' when the message offers none. */
  get oneClick(): string {
    const post = this.header.get('list-unsubscribe-post') ?? '';
    if (!/^\s*list-unsubscribe=one-click\s*$/i.test(post)) return '';
    const uris = (this.header.get('list-unsubscribe') ?? '').split(',', 20).map((item) => item.trim());
    const web = uris.filter((uri) => /^<https?:[^<>]+>$/i.test(uri)).map((uri) => uri.slice(1, -1));
    return web.find((uri) => /^https:/i.test(uri)) ?? web[0] ?? '';
  }

  /** Links and pictures of every HTML part that is not an attachment. */
  links(): readonly HtmlLinks[] {
    this.#links ??= [...this.#htmlParts()].map(htmlLinks);
    return this.#links;
  }

  *#htmlParts(): Generator<string> {
    for (const part of leaves(parseMime(this.content))) {
      if (part.type !== 'text/html' || part.disposition === 'attachment') continue;
      const raw = this.content.subarray(part.bodyStart, Math.min(part.bodyEnd, part.bodyStart + MOST_HTML));
      const bytes =
        part.encoding === 'quoted-printable'
          ? decodeQuotedPrintable(raw).bytes
          : part.encoding === 'base64'
            ? decodeBase64(raw)
            : raw;
      yield decodeCharset(bytes, part.parameters.get('charset') ?? 'utf-8') ?? bytes.toString('latin1');
    }
  }
}
