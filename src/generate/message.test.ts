import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAddress } from '../mail/address.ts';
import { Header, unfold } from '../mail/header.ts';
import { decodeCharset, decodeWords } from '../mail/header-text.ts';
import { isJobName } from '../mail/job-name.ts';
import { leaves, type MimePart, parseMime } from '../mail/mime.ts';
import { decodeBase64, decodeQuotedPrintable } from '../mail/transfer-encoding.ts';
import { hasBareLineEnd } from '../smtp/index.ts';
import { headerJson } from './encode.ts';
import { type GeneratedMessage, type MessageSource, makeMessage } from './message.ts';
import { makePeople } from './people.ts';
import { jobNames, scenario } from './scenario.ts';

const demo = scenario('demo', 'sink.test')!;
const source: MessageSource = { scenario: demo, people: makePeople(demo, 1), seed: 1, run: 'run1' };
const date = new Date('2025-11-03T04:05:06Z');
const messages = Array.from({ length: 400 }, (_, i) => makeMessage(source, i + 1, date));

function text(part: MimePart, content: Buffer): string {
  const raw = content.subarray(part.bodyStart, part.bodyEnd);
  const bytes =
    part.encoding === 'quoted-printable'
      ? decodeQuotedPrintable(raw).bytes
      : part.encoding === 'base64'
        ? decodeBase64(raw)
        : raw;
  return decodeCharset(bytes, part.parameters.get('charset')!)!;
}

test('the same seed makes the same messages, another seed others', () => {
  const again = messages.map((message) => makeMessage(source, message.n, date));
  assert.deepEqual(again, messages);
  const other = { ...source, run: 'run2' };
  const renamed = makeMessage(other, 7, date).content.toString('latin1').replaceAll('run2', 'run1');
  assert.equal(renamed, messages[6]!.content.toString('latin1'), 'only the name of the run differs');
  assert.notDeepEqual(makeMessage({ ...source, seed: 2 }, 7, date).content, messages[6]!.content);
});

test('every message is well formed', () => {
  for (const { content, n, eightBit } of messages) {
    assert.ok(!hasBareLineEnd(content), `message ${n}`);
    for (const line of content.toString('latin1').split('\r\n')) {
      assert.ok(line.length <= 998, `message ${n}: a line of ${line.length}`);
    }
    assert.equal(
      eightBit,
      content.some((octet) => octet > 127),
    );
    const header = new Header(content);
    for (const name of [
      'Date',
      'From',
      'To',
      'Message-ID',
      'Subject',
      'MIME-Version',
      'Content-Type',
      'X-Job',
    ]) {
      assert.equal(header.all(name).length, 1, `message ${n}: ${name}`);
    }
    assert.ok(
      content.subarray(0, header.end).every((octet) => octet < 128),
      `message ${n}: header in ASCII`,
    );
    for (const part of leaves(parseMime(content))) assert.equal(part.fault, null, `message ${n}`);
  }
});

test('what was written comes out of the MIME parts again', () => {
  for (const { content, campaign, n } of messages) {
    const parts = [...leaves(parseMime(content))];
    for (const part of parts.filter(({ type, disposition }) => type.startsWith('text/') && !disposition)) {
      const words = text(part, content);
      assert.ok(!words.includes('\ufffd'), `message ${n}: charset of ${part.type}`);
      assert.match(words, /\r\n$/);
      if (part.type === 'text/html') {
        assert.equal(words.match(/data-msys-linkname="/g)?.length, campaign.links.length);
        assert.ok(words.includes(`charset="${part.parameters.get('charset')}"`));
        for (const form of [
          'data-msys-clicktrack="0"',
          'data-msys-unsubscribe="1"',
          'href="mailto:',
          'href="#top"',
        ]) {
          assert.ok(words.includes(form), `message ${n}: ${form}`);
        }
      } else if (part.type === 'text/plain') {
        assert.match(words, /\r\n\.\.\.\r\n/);
      }
    }
  }
});

test('the mail varies in structure, encoding, charset, size and number of recipients', () => {
  const seen = (of: (message: GeneratedMessage) => Iterable<string>) =>
    [...new Set(messages.flatMap((message) => [...of(message)]))].sort();
  assert.deepEqual(
    seen((m) => [m.structure]),
    ['alternative', 'html', 'mixed', 'plain', 'related'],
  );
  const parts = (m: GeneratedMessage) => [...leaves(parseMime(m.content))];
  assert.deepEqual(
    seen((m) => parts(m).map((part) => part.encoding)),
    ['7bit', '8bit', 'base64', 'quoted-printable'],
  );
  assert.deepEqual(
    seen((m) => parts(m).flatMap((part) => part.parameters.get('charset') ?? [])),
    ['iso-8859-1', 'us-ascii', 'utf-8'],
  );
  assert.ok(messages.some((m) => m.recipients.length > 1));
  assert.equal(new Set(messages.map((m) => m.campaign.name)).size, demo.campaigns.length);
  assert.deepEqual(
    seen((m) => [String(m.campaign.subaccount)]),
    ['0', '1', '2', '3'],
  );
  const sizes = messages.map((m) => m.content.length).sort((a, b) => a - b);
  assert.ok(sizes.at(-1)! > 10 * sizes[0]!);
});

test('campaign, job, subaccount and run are in the header', () => {
  for (const { content, campaign, job, id } of messages) {
    const header = new Header(content);
    assert.equal(JSON.parse(header.get('X-MSYS-API')!).campaign_id, campaign.name);
    assert.equal(header.get('X-Job'), job);
    assert.ok(isJobName(job));
    assert.equal(header.get('X-Sp-Subaccount-Id'), campaign.subaccount ? String(campaign.subaccount) : null);
    assert.equal(header.get('X-Bouncy-Run'), 'run1');
    assert.equal(header.get('Message-ID'), `<${id}>`);
    assert.ok(campaign.subjects.includes(decodeWords(header.get('Subject')!)));
  }
  assert.equal(new Set(messages.map(({ id }) => id)).size, messages.length);
  assert.deepEqual(
    jobNames(demo).find(({ campaign }) => campaign.includes('"')),
    {
      campaign: 'Last Minute "Savings"',
      job: 'Last_Minute_Savings',
    },
  );
});

test('JSON in a header is ASCII and survives folding', () => {
  const value = { campaign_id: 'Été "1" \u{1F389}', options: { a: true } };
  const written = headerJson(value);
  assert.match(written, /^[\x20-\x7e\r\n]+$/);
  assert.deepEqual(JSON.parse(unfold(written)), value);
});

test('the list of people is stable and has the shares of the scenario', () => {
  const people = makePeople(demo, 1);
  assert.deepEqual(people, source.people);
  assert.equal(people.length, demo.people);
  assert.equal(new Set(people.map(({ address }) => address)).size, people.length);
  for (const { address } of people) assert.ok(parseAddress(address), address);
  const total = demo.domains.reduce((sum, { weight }) => sum + weight, 0);
  for (const { domain, weight } of demo.domains) {
    const there = people.filter(({ address }) => address.endsWith(`@${domain}`)).length;
    assert.ok(Math.abs(there - (weight / total) * people.length) <= 1, domain);
  }
});
