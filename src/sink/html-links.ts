/** What a reader's mail client would fetch from an HTML part, in document order. */
export interface HtmlLinks {
  /** Images and backgrounds: fetched when the message is shown. */
  readonly images: readonly string[];
  /** `a[href]` and `area[href]`, with the text between the tags. */
  readonly links: readonly { readonly url: string; readonly text: string }[];
}

/** One mail must not keep the sink busy for ever. */
const MOST_URLS = 500;
const LONGEST_URL = 8192;
const LONGEST_LINK_TEXT = 200;

const RAW_TEXT = new Set(['script', 'style', 'textarea', 'title', 'noscript', 'xmp', 'iframe']);

/** Reads HTML as a tokeniser does: start tags only, in one pass, whatever the nesting. */
export function htmlLinks(html: string): HtmlLinks {
  const images: string[] = [];
  const links: { url: string; text: string }[] = [];
  let open: { url: string; text: string } | null = null;
  const image = (url: string | undefined) => {
    if (url && images.length < MOST_URLS && url.length <= LONGEST_URL) images.push(url.trim());
  };
  let at = 0;
  while (at < html.length) {
    const tag = html.indexOf('<', at);
    const text = html.slice(at, tag < 0 ? html.length : tag);
    if (open && open.text.length < LONGEST_LINK_TEXT) open.text += text.slice(0, LONGEST_LINK_TEXT);
    if (tag < 0) break;
    if (html.startsWith('<!--', tag)) {
      const end = html.indexOf('-->', tag + 4);
      at = end < 0 ? html.length : end + 3;
      continue;
    }
    const start = readTag(html, tag);
    if (start === 'unfinished') break;
    if (start === 'text') {
      at = tag + 1;
      continue;
    }
    at = start.end;
    if (start.closing) {
      if (start.name === 'a') open = null;
      continue;
    }
    const { attributes } = start;
    image(attributes.get('background'));
    for (const url of cssUrls(attributes.get('style') ?? '')) image(url);
    if (start.name === 'img') {
      image(attributes.get('src'));
      const sources = (attributes.get('srcset') ?? '').split(',');
      // A client shows one of the sources: the first stands for it when there is no plain src.
      if (!attributes.get('src')) image(sources[0]?.trim().split(/\s/)[0]);
    } else if (start.name === 'a' || start.name === 'area') {
      const url = attributes.get('href')?.trim();
      if (url && links.length < MOST_URLS && url.length <= LONGEST_URL) {
        const link = { url, text: '' };
        links.push(link);
        open = start.name === 'a' ? link : null;
      }
    }
    if (RAW_TEXT.has(start.name)) {
      const end = indexOfIgnoringCase(html, `</${start.name}`, at);
      if (start.name === 'style') {
        for (const url of cssUrls(html.slice(at, end < 0 ? html.length : end))) image(url);
      }
      at = end < 0 ? html.length : end;
    }
  }
  return {
    images,
    links: links.map(({ url, text }) => ({ url, text: decodeReferences(text).replace(/\s+/g, ' ').trim() })),
  };
}

interface Tag {
  readonly name: string;
  readonly closing: boolean;
  readonly attributes: ReadonlyMap<string, string>;
  /** Position behind the tag. */
  readonly end: number;
}

/** `unfinished`: the text ends inside the tag, as it must not be read again from the next `<` (work would be squared). */
function readTag(html: string, at: number): Tag | 'text' | 'unfinished' {
  const closing = html[at + 1] === '/';
  let i = at + (closing ? 2 : 1);
  if (!/[a-z]/i.test(html[i] ?? '')) return 'text';
  const nameStart = i;
  while (i < html.length && !/[\s/>]/.test(html[i]!)) i++;
  const name = html.slice(nameStart, i).toLowerCase();
  const attributes = new Map<string, string>();
  while (i < html.length) {
    while (i < html.length && /[\s/]/.test(html[i]!)) i++;
    if (i >= html.length) return 'unfinished';
    if (html[i] === '>') return { name, closing, attributes, end: i + 1 };
    const keyStart = i;
    i++;
    while (i < html.length && !/[\s/>=]/.test(html[i]!)) i++;
    const key = html.slice(keyStart, i).toLowerCase();
    while (i < html.length && /\s/.test(html[i]!)) i++;
    let value = '';
    if (html[i] === '=') {
      i++;
      while (i < html.length && /\s/.test(html[i]!)) i++;
      const quote = html[i];
      if (quote === '"' || quote === "'") {
        const close = html.indexOf(quote, i + 1);
        if (close < 0) return 'unfinished';
        value = html.slice(i + 1, close);
        i = close + 1;
      } else {
        const valueStart = i;
        while (i < html.length && !/[\s>]/.test(html[i]!)) i++;
        value = html.slice(valueStart, i);
      }
    }
    // HTML keeps the first of two attributes with one name.
    if (!attributes.has(key)) attributes.set(key, decodeReferences(value));
  }
  return 'unfinished';
}

function indexOfIgnoringCase(text: string, wanted: string, from: number): number {
  const first = wanted[0]!;
  for (let at = text.indexOf(first, from); at >= 0; at = text.indexOf(first, at + 1)) {
    if (text.slice(at, at + wanted.length).toLowerCase() === wanted) return at;
  }
  return -1;
}

function cssUrls(css: string): string[] {
  const found: string[] = [];
  for (let at = css.indexOf('url('); at >= 0 && found.length < 50; at = css.indexOf('url(', at + 4)) {
    const end = css.indexOf(')', at);
    if (end < 0) break;
    const url = css
      .slice(at + 4, end)
      .trim()
      .replace(/^["']|["']$/g, '');
    if (/^https?:/i.test(url)) found.push(url);
  }
  return found;
}

const NAMED = new Map([
  ['amp', '&'],
  ['lt', '<'],
  ['gt', '>'],
  ['quot', '"'],
  ['apos', "'"],
  ['nbsp', ' '],
]);

function decodeReferences(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]{2,6}));?/gi, (whole, dec, hex, name) => {
    if (name) return NAMED.get(String(name).toLowerCase()) ?? whole;
    const code = dec ? Number(dec) : Number.parseInt(hex, 16);
    return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
}

const UNSUBSCRIBE = /unsubscri|opt[ -]?out|abmelde|d[eé]sabonn|desinscri|\bunsub\b/i;

/** Whether a link is there to leave the list: people do not press it by way of ordinary clicking. */
export function isUnsubscribeLink(link: { readonly url: string; readonly text: string }): boolean {
  return UNSUBSCRIBE.test(link.text) || UNSUBSCRIBE.test(link.url);
}
