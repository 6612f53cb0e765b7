import { escapeHtml } from './encode.ts';
import { greetings, paragraph } from './prose.ts';
import type { Random } from './random.ts';
import type { Campaign, Language } from './scenario.ts';

/** What a message says, before it is put into MIME. Lines end with `\n`. */
export interface Content {
  readonly subject: string;
  readonly language: Language;
  readonly text: string;
  readonly html: string;
}

/** The picture that `related` messages carry: 1 by 1, GIF. */
export const logo = Buffer.from('R0lGODlhAQABAIAAAP8AAP///yH5BAAAAAAALAAAAAABAAEAAAICRAEAOw==', 'base64');
export const logoId = 'logo@generator.test';

/**
 * Writes a message of a campaign: named and unnamed links, one that must not be tracked, a mail address, a fragment,
 * an unsubscribe link, remote pictures, or (with `inlineImage`) one that travels along.
 */
export function writeContent(
  random: Random,
  campaign: Campaign,
  person: string,
  options: { readonly inlineImage: boolean; readonly number: number },
): Content {
  const language = random.pick(campaign.languages);
  const subject = random.pick(campaign.subjects);
  const paragraphs = Array.from({ length: random.int(...campaign.length) }, () =>
    paragraph(random, language),
  );
  const domain = campaign.from.slice(campaign.from.lastIndexOf('@') + 1);
  const site = `https://www.${domain}`;
  const links = campaign.links.map((name, n) => ({
    name,
    url: `${site}/${slug(name)}?item=${random.int(100, 9999)}&position=${n + 1}&from=mail`,
  }));
  const plainLink = random.chance(0.5) ? `${site}/c/${random.letters(8)}#reviews` : '';
  const untracked = `${site}/privacy`;
  const unsubscribe = `${site}/unsubscribe?list=${slug(campaign.stream)}&n=${options.number}`;
  const greeting = `${greetings[language]} ${person},`;

  const text = [
    greeting,
    '',
    ...paragraphs.flatMap((p) => [...wrap(p), '']),
    ...links.map(({ name, url }) => `${name}: ${url}`),
    ...(plainLink ? [plainLink] : []),
    '',
    // A line that begins with a dot: it must come through SMTP as it is.
    '...',
    `Questions? help@${domain}`,
    `Unsubscribe: ${unsubscribe}`,
    '',
  ].join('\n');

  const image = options.inlineImage
    ? `<img src="cid:${logoId}" width="120" height="40" alt="${escapeHtml(campaign.fromName)}">`
    : `<img src="https://img.${domain}/logo.png" width="120" height="40" alt="${escapeHtml(campaign.fromName)}">`;
  const html = [
    '<!DOCTYPE html>',
    `<html lang="${language}">`,
    `<head><meta charset="CHARSET"><title>${escapeHtml(subject)}</title>`,
    '<style>p { margin: 0 0 1em } .button { color: #ffffff; background: #333333 }</style></head>',
    `<body bgcolor="#f6f6f6">`,
    `<p id="top">${image}</p>`,
    `<p>${escapeHtml(greeting)}</p>`,
    ...paragraphs.map((p) => `<p>${escapeHtml(p)}</p>`),
    ...links.map(
      ({ name, url }) =>
        `<p><a class="button" href="${escapeHtml(url)}" data-msys-linkname="${escapeHtml(name)}">${escapeHtml(name)}</a></p>`,
    ),
    ...(plainLink ? [`<p><a href='${plainLink}'>${escapeHtml(plainLink)}</a></p>`] : []),
    `<p><a href="${untracked}" data-msys-clicktrack="0">Privacy</a> | <a href="#top">Top</a> |`,
    `<a href="mailto:help@${domain}?subject=Question">Help</a> |`,
    `<a href="${escapeHtml(unsubscribe)}" data-msys-unsubscribe="1">Unsubscribe</a></p>`,
    '</body>',
    '</html>',
    '',
  ].join('\n');
  return { subject, language, text, html };
}

function slug(text: string): string {
  return text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');
}

/** Breaks a paragraph into lines of at most 72 characters. */
function wrap(text: string): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > 72) {
      lines.push(line);
      line = '';
    }
    line += line === '' ? word : ` ${word}`;
  }
  if (line !== '') lines.push(line);
  return lines;
}
