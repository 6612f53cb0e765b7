import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { freePorts, Program, temporaryFolder, until } from '../../test/program.ts';
import { connectSmtp } from '../smtp/index.ts';

test('SIGTERM ends the server although it is connected to a host that never says a word', async (t) => {
  const dir = temporaryFolder();
  const held: Socket[] = [];
  const silent = createServer((socket) => held.push(socket.on('error', () => {})));
  t.after(() => {
    for (const socket of held) socket.destroy();
    silent.close();
  });
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const port = await freePorts(1);
  for (const name of ['spool', 'state']) mkdirSync(path.join(dir, name));
  writeFileSync(
    path.join(dir, 'config'),
    `host-name mta.test
    log-file ${dir}/log
    state-dir ${dir}/state
    http-mgmt-port 0
    smtp-listener 127.0.0.1:${port}
    <spool ${dir}/spool>
    </spool>
    <source 127.0.0.1>
      always-allow-relaying yes
    </source>
    <domain *>
      smtp-hosts [127.0.0.1]:${(silent.address() as AddressInfo).port}
    </domain>`,
    { mode: 0o600 },
  );
  const mta = new Program(['mta', '--config', path.join(dir, 'config')]);
  await mta.says('listens on');
  const connected = once(silent, 'connection');
  const opened = await connectSmtp({ host: '127.0.0.1', port, heloName: 'client.test' });
  assert.ok(opened.ok);
  await opened.client.send({
    from: 'a@client.test',
    recipients: [{ address: 'x@far.test' }],
    content: Buffer.from('Subject: x\r\n\r\nx\r\n'),
  });
  await opened.client.quit();
  await connected;
  mta.process.kill('SIGTERM');
  // A greeting may take five minutes, which is longer than is waited here.
  await until(() => mta.process.exitCode !== null);
  assert.equal(mta.process.exitCode, 0, mta.stderr);
});
