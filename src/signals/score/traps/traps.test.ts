import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { silentLog } from '../../../system/log.ts';
import { isParkedDomain } from './parked-domain.ts';
import { readTrapList } from './trap-list.ts';
import { Traps, watchTraps } from './traps.ts';
import { isTypoDomain } from './typo-domain.ts';

const digest = (algorithm: string, text: string) => createHash(algorithm).update(text).digest('hex');

test('a domain one slip of a typist from a large provider is a typo', () => {
  for (const domain of [
    'gmial.com',
    'gmal.com',
    'gmai.com',
    'gamil.com',
    'gnail.com',
    'gmaill.com',
    'gmail.con',
    'gmail.cm',
    'gmail.co',
    'hotmial.com',
    'hotmal.com',
    'hitmail.com',
    'hotmaiil.com',
    'hotmail.cmo',
    'yahho.com',
    'yaho.com',
    'yahoo.con',
    'outlok.com',
    'outllok.com',
    'outlook.vom',
    'iclod.com',
    'icluod.com',
    'aol.con',
    'msn.cpm',
    'live.com.com',
    'comcats.net',
    'comcast.nett',
    'verizn.net',
    'hotmal.co.uk',
    'yahoo.co.ukk',
    'gmail.c0m',
    'laposte.nett',
  ]) {
    assert.equal(isTypoDomain(domain), true, domain);
  }
});

test('real domains that look like a provider are no typos', () => {
  for (const domain of [
    'gmail.com',
    'googlemail.com',
    'gmx.com',
    'gmx.net',
    'gmx.de',
    'mail.com',
    'email.com',
    'ymail.com',
    'hotmail.fr',
    'hotmail.com',
    'hotmail.es',
    'hotmail.co.jp',
    'outlook.com',
    'outlook.jp',
    'live.nl',
    'msn.com',
    'aol.de',
    'yahoo.co.uk',
    'yahoo.com.mx',
    'yahoo.co.jp',
    'icloud.com',
    'cloud.com',
    'me.com',
    'mac.com',
    'gail.com',
    'grail.com',
    'fastmail.com',
    'hotel.com',
    'comcast.com',
    'verizon.com',
    'mail.ru',
    'web.de',
    'aim.com',
    'proton.me',
    'example.com',
    'yandex.com',
    'free.fr',
    'libera.it',
    'brand.example',
    '',
    'x',
    'gmail',
    '.com',
    'gmail.com.',
    'a'.repeat(5000),
  ]) {
    assert.equal(isTypoDomain(domain), false, domain.slice(0, 50));
  }
});

test('a domain whose mail host or name server is a parking provider is parked', () => {
  assert.equal(isParkedDomain('brand.example'), false);
  assert.equal(isParkedDomain('brand.example', ['mx.brand.example', 'park-mx.above.com.']), true);
  assert.equal(isParkedDomain('brand.example', ['NS1.SedoParking.com']), true);
  assert.equal(isParkedDomain('brand.example', ['sedoparking.com.brand.example']), false);
});

test('a domain is parked as soon as its mail host is known to be', () => {
  const hosts = new Map<string, string>();
  const traps = new Traps(undefined, (domain) => hosts.get(domain) ?? '');
  assert.equal(traps.kindOf('a@held.example', '', 'held.example'), null);
  hosts.set('held.example', 'mail.h-email.net');
  assert.equal(traps.kindOf('a@held.example', '', 'held.example'), 'parked');
});

async function listOf(text: string, work: (file: string) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(path.join(tmpdir(), 'posthorn-traps-'));
  const file = path.join(dir, 'traps.txt');
  try {
    await writeFile(file, text);
    await work(file);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

test("the operator's list: hashes of three kinds, domains, addresses; list before rules", async () => {
  const lines = [
    '# ours',
    `recycled ${digest('md5', 'old@brand.example')}`,
    `typo,${digest('sha1', 'slip@brand.example').toUpperCase()}   # with a note`,
    `parked\t${digest('sha256', 'held@brand.example')}`,
    digest('sha1', 'untyped@brand.example'),
    'parked held.example',
    `recycled ${digest('sha256', 'hashed-domain.example')}`,
    'recycled Clear@Brand.example',
    'parked @gmial.com',
    '',
  ];
  await listOf(lines.join('\r\n'), async (file) => {
    const traps = new Traps(await readTrapList(file));
    assert.equal(traps.listed, 8);
    const kind = (address: string) => traps.kindOf(address, '', address.slice(address.lastIndexOf('@') + 1));
    assert.equal(kind('old@brand.example'), 'recycled');
    assert.equal(kind('slip@brand.example'), 'typo');
    assert.equal(kind('held@brand.example'), 'parked');
    assert.equal(kind('untyped@brand.example'), 'recycled');
    assert.equal(kind('anybody@held.example'), 'parked');
    assert.equal(kind('anybody@hashed-domain.example'), 'recycled');
    assert.equal(kind('clear@brand.example'), 'recycled');
    assert.equal(kind('x@gmial.com'), 'parked', 'the list goes before the rule');
    assert.equal(kind('x@gmal.com'), 'typo');
    assert.equal(kind('nobody@brand.example'), null);
    assert.equal(traps.kindOf('', digest('sha1', 'slip@brand.example'), 'brand.example'), 'typo');
    assert.equal(traps.kindOf('', digest('sha1', 'other@brand.example'), 'held.example'), 'parked');
  });
});

test('a fault in the list is told with its line and without the entry', async () => {
  for (const [text, fault] of [
    ['typo nonsense', /line 1: the entry is neither/],
    ['\nnew secret@brand.example', /line 2: write "recycled"/],
    ['typo a b', /line 1: write/],
    [`typo ${'f'.repeat(31)}`, /line 1: the entry is neither/],
    [`x${'y'.repeat(2000)}`, /line 1: the line is too long/],
  ] as const) {
    await listOf(text, async (file) => {
      await assert.rejects(readTrapList(file), (error: Error) => {
        assert.match(error.message, fault);
        assert.doesNotMatch(error.message, /secret|nonsense|fff/);
        return true;
      });
    });
  }
  await assert.rejects(readTrapList('/nowhere/traps.txt'), /cannot be read/);
});

test('a changed list is read again; one with a fault leaves the one before in force', async () => {
  const waiting: (() => void)[] = [];
  const clock = {
    now: () => 0,
    after: (_ms: number, then: () => void) => {
      waiting.push(then);
      return () => {};
    },
  };
  const turn = async () => {
    const n = waiting.length;
    waiting.at(-1)!();
    while (waiting.length === n) await new Promise((resolve) => setImmediate(resolve));
  };
  await listOf('typo one.example\n', async (file) => {
    const { traps, close } = await watchTraps(file, clock, silentLog);
    assert.equal(traps.kindOf('a@two.example', '', 'two.example'), null);
    await writeFile(file, 'typo one.example\nparked two.example\n');
    await turn();
    assert.equal(traps.kindOf('a@two.example', '', 'two.example'), 'parked');
    await writeFile(file, 'typo one.example\nrubbish\n\n');
    await turn();
    assert.equal(traps.kindOf('a@two.example', '', 'two.example'), 'parked');
    await rm(file);
    await turn();
    assert.equal(traps.listed, 2);
    close();
  });
});
