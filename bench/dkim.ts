import { generateKeyPairSync } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { readSigningKey, type SigningKey } from '../src/mail/dkim-key.ts';
import { SignableMessage } from '../src/mail/dkim-sign.ts';
import { given, number } from './harness/given.ts';
import { Report } from './harness/report.ts';

/**
 * DKIM signatures per second: reading the header, canonicalizing and hashing header and body, and signing, as the MTA
 * does it for each message. "In line" is one signature after the other on this thread; "at once" keeps as many in hand
 * as there are connections, RSA in the thread pool. What an RSA signature takes from the event loop is said apart: it
 * is what all else has to wait for.
 *
 *   npm run bench -- dkim [--messages 2000] [--bytes 10240] [--at-once 20] [--repeat 3]
 */
const {
  messages: count,
  bytes,
  'at-once': atOnce,
  repeat,
} = given({
  messages: number(2000),
  bytes: number(10_240, 1000),
  'at-once': number(20),
  repeat: number(3),
});

const raw = Buffer.from(
  'Received: from feed.test (feed.test [192.0.2.1]) by mta.test with ESMTP;\r\n\tFri, 1 Jan 2027 00:00:00 +0000\r\n' +
    'From: "News" <news@b.example>\r\nTo: kim@c.example\r\nSubject: Weekly news\r\n' +
    'Date: Fri, 1 Jan 2027 00:00:00 +0000\r\nMessage-ID: <1@b.example>\r\nMIME-Version: 1.0\r\n' +
    'Content-Type: text/html; charset=utf-8\r\nList-Unsubscribe: <https://b.example/u>\r\n\r\n' +
    `${'<p>Lorem ipsum dolor sit amet, consectetur  adipiscing elit.</p> \r\n'.repeat(Math.ceil(bytes / 67))}`,
).subarray(0, bytes);

const pem = (type: 'rsa' | 'ed25519') => {
  const { privateKey } =
    type === 'rsa' ? generateKeyPairSync('rsa', { modulusLength: 2048 }) : generateKeyPairSync('ed25519');
  return privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
};
const keys = {
  'RSA-2048': readSigningKey(pem('rsa')) as SigningKey,
  Ed25519: readSigningKey(pem('ed25519')) as SigningKey,
};

const report = new Report('dkim', {
  messages: `${count} of ${raw.length} bytes, relaxed/relaxed`,
  'at once': `${atOnce}, thread pool of ${process.env.UV_THREADPOOL_SIZE ?? 4}`,
  repetitions: repeat,
});

const settings = (key: SigningKey) => ({ key, domain: 'b.example', selector: 's' });
const NOW = 1_800_000_000_000;

function inLine(keysOf: readonly SigningKey[]): number {
  const start = performance.now();
  for (let i = 0; i < count; i++) {
    const message = new SignableMessage(raw);
    for (const key of keysOf) message.sign(settings(key), NOW);
  }
  return count / ((performance.now() - start) / 1000);
}

/** Messages per second, and the milliseconds of this thread that each took. */
async function together(keysOf: readonly SigningKey[]): Promise<[number, number]> {
  const start = performance.now();
  const before = performance.eventLoopUtilization();
  let left = count;
  const work = async () => {
    while (left-- > 0) {
      const message = new SignableMessage(raw);
      for (const key of keysOf) await message.signAsync(settings(key), NOW);
      // A turn of the loop, as the network would take one: without it a key that signs in line never lets go.
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  const { active } = performance.eventLoopUtilization(before);
  return [count / ((performance.now() - start) / 1000), active / count];
}

for (const [name, keysOf] of [
  ['RSA-2048', [keys['RSA-2048']]],
  ['Ed25519', [keys.Ed25519]],
  ['both, one body hash', [keys['RSA-2048'], keys.Ed25519]],
] as const) {
  inLine(keysOf);
  report.figure(
    `${name}, in line`,
    'posthorn',
    'messages/s',
    Array.from({ length: repeat }, () => inLine(keysOf)),
  );
  const rounds: [number, number][] = [];
  for (let round = 0; round < repeat; round++) rounds.push(await together(keysOf));
  report.figure(
    `${name}, at once`,
    'posthorn',
    'messages/s',
    rounds.map(([rate]) => rate),
  );
  report.figure(
    '  of the event loop, a message',
    'posthorn',
    'ms',
    rounds.map(([, held]) => held),
  );
}
report.save();
