import { toJobName } from '../mail/job-name.ts';
import { encodeBase64 } from '../mail/transfer-encoding.ts';
import { type Content, logo, logoId, writeContent } from './content.ts';
import {
  type Charset,
  displayName,
  encodeCharset,
  encodeTransfer,
  encodeWords,
  headerJson,
  isSevenBit,
  type TransferEncoding,
} from './encode.ts';
import type { Person } from './people.ts';
import { Random } from './random.ts';
import type { Campaign, Scenario, Structure } from './scenario.ts';

/** A message ready to be submitted. */
export interface GeneratedMessage {
  /** Its number in the run, from 1. */
  readonly n: number;
  /** Message-ID without angle brackets. */
  readonly id: string;
  readonly campaign: Campaign;
  readonly job: string;
  readonly mailFrom: string;
  readonly recipients: readonly Person[];
  readonly structure: Structure;
  /** Needs BODY=8BITMIME. */
  readonly eightBit: boolean;
  readonly content: Buffer;
}

export interface MessageSource {
  readonly scenario: Scenario;
  readonly people: readonly Person[];
  readonly seed: number;
  /** Names the run in Message-IDs and in `X-Bouncy-Run`. */
  readonly run: string;
}

/**
 * Makes the n-th message of a run. Everything but run and date follows from scenario and seed, so it can be made again
 * for another attempt instead of being kept.
 */
export function makeMessage(source: MessageSource, n: number, date: Date): GeneratedMessage {
  const { scenario, people, seed, run } = source;
  const random = new Random(seed, `message ${n}`);
  const campaign = random.weighted(scenario.campaigns);
  const recipients = [random.pick(people)];
  if (random.chance(scenario.several)) {
    for (let more = random.int(1, 3); more > 0; more--) {
      const next = random.pick(people);
      if (!recipients.includes(next)) recipients.push(next);
    }
  }
  const structure = random.weighted(campaign.structures).kind;
  const content = writeContent(random, campaign, recipients[0]!.name, {
    inlineImage: structure === 'related',
    number: n,
  });
  const domain = campaign.from.slice(campaign.from.lastIndexOf('@') + 1);
  const id = `${run}.${n}@${domain}`;
  const job = toJobName(campaign.name);
  const body = makeBody(random, structure, content, n);
  const header = [
    `Date: ${date.toUTCString().replace('GMT', '+0000')}`,
    `From: ${displayName(campaign.fromName)} <${campaign.from}>`,
    `To: ${recipients.map(({ name, address }) => `${displayName(name)} <${address}>`).join(',\r\n ')}`,
    `Message-ID: <${id}>`,
    `Subject: ${encodeWords(content.subject)}`,
    `X-Job: ${job}`,
    `X-MSYS-API: ${headerJson({ campaign_id: campaign.name })}`,
    ...(campaign.subaccount > 0 ? [`X-Sp-Subaccount-Id: ${campaign.subaccount}`] : []),
    `X-Bouncy-Run: ${run}`,
    'MIME-Version: 1.0',
  ];
  const bytes = Buffer.concat([Buffer.from(`${header.join('\r\n')}\r\n`), body]);
  return {
    n,
    id,
    campaign,
    job,
    mailFrom: scenario.mailFrom,
    recipients,
    structure,
    eightBit: !isSevenBit(bytes),
    content: bytes,
  };
}

/** A MIME entity: its own header lines, an empty line, its content. */
function makeBody(random: Random, structure: Structure, content: Content, n: number): Buffer {
  const boundary = () => `=_part-${random.letters(16)}`;
  const plain = () => textPart(random, 'plain', content.text);
  const html = () => textPart(random, 'html', content.html);
  switch (structure) {
    case 'plain':
      return plain();
    case 'html':
      return html();
    case 'alternative':
      return multipart('alternative', boundary(), [plain(), html()]);
    case 'related': {
      const picture = leaf(
        [
          'Content-Type: image/gif; name="logo.gif"',
          'Content-Transfer-Encoding: base64',
          `Content-ID: <${logoId}>`,
          'Content-Disposition: inline; filename="logo.gif"',
        ],
        encodeBase64(logo),
      );
      const related = multipart('related', boundary(), [html(), picture], '; type="text/html"');
      return multipart('alternative', boundary(), [plain(), related]);
    }
    case 'mixed': {
      const document = Buffer.from(
        Array.from(
          { length: random.int(5, 200) },
          (_, row) => `${row + 1};${random.letters(12)};${random.int(1, 500)}.00\r\n`,
        ).join(''),
      );
      const attachment = leaf(
        [
          `Content-Type: text/csv; charset=us-ascii; name="document-${n}.csv"`,
          'Content-Transfer-Encoding: base64',
          `Content-Disposition: attachment; filename="document-${n}.csv"`,
        ],
        encodeBase64(document),
      );
      return multipart('mixed', boundary(), [
        multipart('alternative', boundary(), [plain(), html()]),
        attachment,
      ]);
    }
  }
}

/** Text in one of the charsets that can hold it and one of the encodings that can carry it. */
function textPart(random: Random, subtype: 'plain' | 'html', text: string): Buffer {
  const wanted: Charset = random.chance(0.3) ? 'iso-8859-1' : 'utf-8';
  const charset = encodeCharset(text, wanted) ? wanted : 'utf-8';
  const lines = text.replace('CHARSET', charset).replaceAll('\n', '\r\n');
  const bytes = encodeCharset(lines, charset) ?? Buffer.from(lines);
  const sevenBit = isSevenBit(bytes);
  const longest = Math.max(...lines.split('\r\n').map((line) => Buffer.byteLength(line)));
  const encodings: TransferEncoding[] = ['quoted-printable', 'base64'];
  // RFC 5322 bounds lines at 998 octets; the other two encodings make their own lines.
  if (longest <= 998) encodings.push(sevenBit ? '7bit' : '8bit');
  const encoding = random.pick(encodings);
  return leaf(
    [`Content-Type: text/${subtype}; charset=${charset}`, `Content-Transfer-Encoding: ${encoding}`],
    encodeTransfer(bytes, encoding),
  );
}

function leaf(header: readonly string[], content: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${header.join('\r\n')}\r\n\r\n`), content]);
}

function multipart(subtype: string, boundary: string, parts: readonly Buffer[], parameters = ''): Buffer {
  const pieces = [
    Buffer.from(`Content-Type: multipart/${subtype}; boundary="${boundary}"${parameters}\r\n\r\n`),
    ...parts.flatMap((part) => [Buffer.from(`\r\n--${boundary}\r\n`), part]),
    Buffer.from(`\r\n--${boundary}--\r\n`),
  ];
  return Buffer.concat(pieces);
}
