import assert from 'node:assert/strict';
import { test } from 'node:test';
import { good } from '../../config/testing.ts';
import { connectSmtp } from '../../smtp/index.ts';
import { silentLog } from '../../system/log.ts';
import { connectionLog, watchers } from './connection-log.ts';
import { remoteHost } from './remote-host.testing.ts';

/** What is logged of one connection with a login and one message, a line each. */
async function logged(t: import('node:test').TestContext, settings: string): Promise<string[]> {
  const remote = await remoteHost(t, {
    keywords: ['AUTH PLAIN', 'PIPELINING'],
    answer: (verb) => (verb === 'AUTH' ? '235 2.7.0 welcome' : null),
  });
  const config = good(`<domain *>\n${settings}\n</domain>`);
  const lines: string[] = [];
  const log = {
    ...silentLog,
    info: (text: string, { queue, line = '' }: Record<string, unknown> = {}) => {
      assert.equal(queue, 'a.test/{default}');
      lines.push(`${text} ${line}`.trim());
    },
  };
  const host = { name: 'mx', address: '127.0.0.1' };
  const watch = connectionLog(log, config.queue('a.test', '{default}'), 'a.test/{default}', host);
  const observer = watchers([null, watch]);
  const result = await connectSmtp({
    ...{ host: '127.0.0.1', port: remote.port, heloName: 'mta.test' },
    auth: { user: 'ana', password: 'hunter2', mechanisms: ['PLAIN'], allowClear: true },
    ...(observer && { observer }),
  });
  assert.ok(result.ok);
  const content = Buffer.from(`Subject: x\r\n\r\nHello\r\n${'y'.repeat(70_000)}\r\n`);
  await result.client.send({ from: 'a@b.test', recipients: [{ address: 'kim@a.test' }], content });
  await result.client.quit();
  return lines;
}

test('log-connections, log-commands and log-data of a domain: each what its name says, and no password', async (t) => {
  assert.deepEqual(await logged(t, 'log-tls yes'), [], 'there was none');
  assert.deepEqual(await logged(t, 'log-connections yes'), ['connected', 'connection closed']);
  const commands = await logged(t, 'log-commands yes');
  for (const line of ['host says 220 remote ESMTP', 'we say EHLO mta.test', 'host says 235 2.7.0 welcome'])
    assert.ok(commands.includes(line), line);
  assert.ok(commands.includes('we say RCPT TO:<kim@a.test>') && commands.includes('we say QUIT'));
  assert.ok(!commands.some((line) => /hunter2|Hello|connect/.test(line)), commands.join('\n'));
  assert.ok(!commands.join('').includes(Buffer.from('\0ana\0hunter2').toString('base64')));
  const all = await logged(t, 'log-data yes');
  assert.ok(all.includes('we send Hello') && all.includes('we send more, not logged'));
  assert.ok(all.join('').length < 80_000);
});

test('log-data: content that goes in one write with its command is told once, as content', () => {
  const lines: string[] = [];
  const info = (text: string, { line = '' }: Record<string, unknown> = {}) =>
    void lines.push(`${text} ${line}`);
  const settings = good('<domain *>\nlog-data yes\n</domain>').queue('a.test', '{default}');
  const host = { name: 'mx', address: '127.0.0.1' };
  const watch = connectionLog({ ...silentLog, info }, settings, 'a.test/{default}', host)!;
  watch.wrote(Buffer.from('BDAT 8 LAST\r\nS: é\r\n\r\n'), 'BDAT 8 LAST\r\n');
  assert.deepEqual(lines.slice(0, 2), [
    'we say BDAT 8 LAST',
    `we send S: ${Buffer.from('é').toString('latin1')}`,
  ]);
});
