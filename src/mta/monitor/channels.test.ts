import assert from 'node:assert/strict';
import { chmodSync, existsSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import path from 'node:path';
import { test } from 'node:test';
import { good } from '../../config/testing.ts';
import { silentLog } from '../../system/log.ts';
import { folder } from '../testing.ts';
import { type Channel, controlSocketPath, openChannels } from './channels.ts';

function ask(socketPath: string): Promise<string> {
  return new Promise((resolve, reject) => {
    request({ socketPath, path: '/' }, (response) => {
      let text = '';
      response.on('data', (piece) => {
        text += piece;
      });
      response.on('end', () => resolve(text));
    })
      .on('error', reject)
      .end();
  });
}

test('the control socket is this user’s alone; one that a killed server left behind is replaced', async (t) => {
  const dir = folder(t);
  const file = controlSocketPath(dir)!;
  assert.equal(file, path.join(dir, 'control.sock'));
  // What lies there is no server.
  writeFileSync(file, '');
  chmodSync(file, 0o644);
  const config = good(`http-mgmt-port 0\nstate-dir ${dir}`);
  const tools = { config: () => config, log: silentLog };
  const channels = await openChannels(config, tools, (_request, response, channel: Channel) =>
    response.end(channel),
  );
  t.after(() => channels.close());
  assert.equal(channels.port, null);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.ok(statSync(file).isSocket());
  assert.equal(await ask(file), 'control');
  assert.ok(!existsSync(path.join(dir, 'webmon.pem')), 'no certificate is made for a port that is off');
});

test('a path that is too long for a socket is told apart, not cut off', () => {
  assert.equal(controlSocketPath(`/${'x'.repeat(120)}`), null);
});
