import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Peer, startServer } from './test-peer.ts';

/**
 * Ends of data that some server somewhere takes for one. Behind each stands a second message: whoever takes the end
 * takes that message too, from a sender of the attacker's choice (CVE-2023-51764, -51765, -51766).
 */
const FALSE_ENDS = [
  '\n.\n',
  '\n.\r\n',
  '\n.\r',
  '\r.\r',
  '\r.\r\n',
  '\r.\n',
  '\r\n.\n',
  '\r\n.\r',
  '\r\n.\r\r\n',
  '\r\r\n.\r\r\n',
  '\r\r\n.\r\n\0',
  '\n\n.\n\n',
  '\r\n\r.\r\n',
  '\r\n\n.\r\n',
  '\r\n.\0\r\n',
  '\r\n\0.\r\n',
  '\r\n.\r\0\n',
  '\r\n\0.\0\r\n',
  '\r\n. \r\n',
  '\r\n.\t\r\n',
  '\u0085.\u0085',
  '\u2028.\u2028',
  '\r\n\uff0e\r\n',
];

const INNER = 'MAIL FROM:<forged@victim.example>\r\nRCPT TO:<x@y.example>\r\nDATA\r\nforged\r\n';
const ENVELOPE = 'EHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n';

/** `\r\r\n.\r\n` holds a true end: CR, then CR LF . CR LF. What follows it are commands, as they would be anywhere. */
const endsData = (text: string) => text.includes('\r\n.\r\n');

for (const end of FALSE_ENDS) {
  const shown = JSON.stringify(end);

  test(`${shown} does not end the data, wherever it is cut`, async (t) => {
    const server = await startServer(t, { bareLineEnds: 'accept-as-data' });
    for (let cut = 0; cut <= end.length; cut++) {
      const peer = await Peer.open(t, server.port);
      peer.write(`${ENVELOPE}first${end.slice(0, cut)}`);
      await turn();
      await turn();
      peer.write(`${end.slice(cut)}${INNER}.\r\nQUIT\r\n`);
      await peer.end();
      const taken = server.messages.splice(0);
      if (endsData(end)) continue;
      assert.equal(taken.length, 1, `cut at ${cut}`);
      assert.equal(taken[0]!.envelope.from.address, 'a@b.example');
      assert.ok(taken[0]!.content.includes('forged@victim.example'));
    }
  });

  test(`${shown} is refused where bare line ends are`, async (t) => {
    const server = await startServer(t);
    const peer = await Peer.open(t, server.port);
    peer.write(`${ENVELOPE}first${end}${INNER}.\r\nNOOP\r\nQUIT\r\n`);
    await peer.end();
    const senders = server.messages.map(({ envelope }) => envelope.from.address);
    const codes = peer.reader.replies.map(({ code, enhanced }) => `${code} ${enhanced}`.trim());
    if (endsData(end)) {
      assert.ok(!codes.slice(0, 6).includes('250 2.0.0'), 'the message with the bare CR was taken');
    } else if (/\r(?!\n)|(?<!\r)\n/.test(end)) {
      assert.deepEqual(senders, []);
      assert.deepEqual(codes.slice(4), ['354', '550 5.6.11', '250 2.0.0', '221 2.0.0']);
    } else assert.deepEqual(senders, ['a@b.example']);
  });

  test(`${shown} in a chunk of BDAT ends nothing`, async (t) => {
    const server = await startServer(t, { bareLineEnds: 'accept-as-data' });
    const peer = await Peer.open(t, server.port);
    const content = Buffer.from(`first${end}${INNER}.\r\n`);
    peer.write(ENVELOPE.replace('DATA', `BDAT ${content.length} LAST`));
    peer.write(content);
    peer.write('QUIT\r\n');
    await peer.end();
    assert.equal(server.messages.length, 1);
    assert.ok(server.messages[0]!.content.equals(content));
  });
}

test('a true end in the middle is where the first message ends', async (t) => {
  const server = await startServer(t);
  const whole = `${ENVELOPE}first\r\n.\r\n${INNER}.\r\nQUIT\r\n`;
  for (let cut = whole.indexOf('first'); cut < whole.length; cut++) {
    const peer = await Peer.open(t, server.port);
    peer.write(whole.slice(0, cut));
    await turn();
    peer.write(whole.slice(cut));
    await peer.end();
    assert.deepEqual(
      server.messages.splice(0).map(({ content }) => content.toString()),
      ['first\r\n', 'forged\r\n'],
      `cut at ${cut}`,
    );
  }
});
