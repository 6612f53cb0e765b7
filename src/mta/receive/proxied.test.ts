// Clients behind a proxy: whose settings apply, and which address mail is recorded under.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startReception } from '../testing.ts';

test('PROXY: the session has the settings and the address of the client that a trusted proxy names', async (t) => {
  const mta = await startReception(
    t,
    `<source 127.0.0.1>
       accept-proxy-header yes
     </source>
     <source 192.0.2.1>
       always-allow-relaying yes
     </source>`,
  );
  const send = async (client: string) => {
    const peer = await mta.connection();
    peer.write(`PROXY TCP4 ${client} 198.51.100.9 12345 25\r\n`);
    await peer.text();
    await peer.ask('EHLO client.test');
    await peer.ask('MAIL FROM:<news@brand.test>');
    const answer = await peer.ask('RCPT TO:<kim@a.test>');
    if (!answer.startsWith('250')) return answer;
    await peer.ask('DATA');
    return await peer.ask('Subject: x\r\n\r\nHello.\r\n.');
  };
  assert.match(await send('192.0.2.1'), /^250/);
  const { facts } = mta.stored().envelope;
  assert.equal(facts.clientIp, '192.0.2.1');
  assert.equal(facts.localIp, '198.51.100.9');
  assert.match(mta.stored().content.toString(), /^Received: from client\.test \(\[192\.0\.2\.1\]\)/);
  assert.match(await send('192.0.2.2'), /^550/, "the proxy's own rights are not the client's");
  const bare = await mta.connection();
  bare.write('EHLO client.test\r\n');
  await bare.end();
});
