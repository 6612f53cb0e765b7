import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { good } from '../../config/testing.ts';
import { systemClock } from '../../system/clock.ts';
import { startZone } from '../testing.ts';
import { printResult } from './command.ts';
import { parseCommand } from './command-line.ts';
import { digest, toolCommands } from './commands/tools.ts';

const of = (options: Record<string, string>) => new Map(Object.entries(options));

test('digest: SipHash-2-4, low byte first, keys as text or hexadecimal, padded with zeros', () => {
  // The first vectors of the authors' reference code: key 00..0f, inputs of 0 and 1 bytes.
  const key = { hexkey: '000102030405060708090a0b0c0d0e0f' };
  assert.deepEqual(digest('', of(key)), {
    data: { result: '310E0EDD47DB6F72' },
    text: 'Result: 310E0EDD47DB6F72\n',
  });
  assert.deepEqual(digest('\u0000', of({ ...key, siphash: '' })), {
    data: { result: 'FD67DC93C539F874' },
    text: 'Result: FD67DC93C539F874\n',
  });
  assert.deepEqual(digest('a', of({ key: 'k' })), digest('a', of({ hexkey: `6b${'00'.repeat(15)}` })));
  assert.match(JSON.stringify(digest('a', of({ key: 'x'.repeat(17) }))), /at most 16 bytes; this one has 17/);
  assert.match(JSON.stringify(digest('a', of({ hexkey: 'abc' }))), /pairs of hexadecimal/);
  assert.match(JSON.stringify(digest('a', of({ key: 'a', hexkey: 'ab' }))), /one of --key and --hexkey/);
  assert.match(JSON.stringify(digest('a', of({ siphash: '', 'hmac-sha256': '' }))), /one of --hmac/);
  const hmac = createHmac('sha256', 'x'.repeat(17)).update('a').digest('hex').toUpperCase();
  assert.deepEqual(digest('a', of({ 'hmac-sha256': '', key: 'x'.repeat(17) })), {
    data: { result: hmac },
    text: `Result: ${hmac}\n`,
  });
});

async function run(zone: Parameters<typeof startZone>, ...words: string[]) {
  const { server } = await startZone(...zone);
  const config = good(`name-server ${server.address}:${server.port}`);
  const parsed = parseCommand(toolCommands, words);
  assert.ok(!('error' in parsed), JSON.stringify(parsed));
  return await parsed.command.run({ config: () => config, clock: systemClock }, { ...parsed, now: 0 });
}

test('resolve: each question and answer, the status, the hosts by preference; DOM has their addresses', async (t) => {
  const zone =
    'a.test MX 20 mx2.a.test\na.test MX 10 mx1.a.test\nmx1.a.test A 192.0.2.1\nmx2.a.test A 192.0.2.2';
  const result = await run([t, zone], 'resolve', 'a.test');
  const text = printResult(result, 'text');
  assert.match(
    text,
    /^Querying 127\.0\.0\.1 over UDP about MX a\.test\nRead response from 127\.0\.0\.1\nanswers: {5}ttl=\d+\n {4}a\.test MX /,
  );
  assert.match(
    text,
    /\nstatus = StatusOk\n\npref host name\s+IP addresses\n {2}10 mx1\.a\.test\s+192\.0\.2\.1\n {2}20 mx2\.a\.test\s+192\.0\.2\.2\n$/,
  );
  assert.equal(
    printResult(result, 'dom'),
    [
      'status="StatusOk"',
      'host[0].pref="10"',
      'host[0].name="mx1.a.test"',
      'host[0].ip[0]="192.0.2.1"',
      'host[1].pref="20"',
      'host[1].name="mx2.a.test"',
      'host[1].ip[0]="192.0.2.2"',
      '',
    ].join('\n'),
  );
  const none = await run([t, zone], 'resolve', 'gone.example');
  assert.match(printResult(none, 'dom'), /^status="Status\w+"\n$/);
  assert.match(
    printResult(await run([t, zone], 'resolve', '--server=x', 'a.test'), 'text'),
    /is no IP address/,
  );
});

test('check spf: the result for MAILFROM, else for the host’s own name; check pra and mfrom say what to use', async (t) => {
  const zone = 'a.test TXT v=spf1 ip4:192.0.2.1 -all\nmx.a.test TXT v=spf1 a -all\nmx.a.test A 192.0.2.9';
  const spf = async (...words: string[]) =>
    printResult(await run([t, zone], 'check', 'spf', ...words), 'dom');
  assert.match(
    await spf('192.0.2.1', 'mx.a.test', 'x@a.test'),
    /^identity="x@a\.test"\nip="192\.0\.2\.1"\nresult="pass"\n/,
  );
  assert.match(await spf('192.0.2.2', 'mx.a.test', 'x@a.test'), /\nresult="fail"\n/);
  assert.match(await spf('192.0.2.9', 'mx.a.test'), /^identity="mx\.a\.test"\n(?:.*\n)*result="pass"\n/);
  assert.match(await spf('nine', 'mx.a.test'), /is no IP address/);
  assert.match(printResult(await run([t, zone], 'check', 'pra', 'a', 'b'), 'text'), /not supported/);
  assert.match(printResult(await run([t, zone], 'check', 'mfrom', 'a', 'b'), 'text'), /check spf/);
});
