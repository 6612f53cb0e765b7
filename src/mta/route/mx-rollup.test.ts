import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { good } from '../../config/testing.ts';
import { startServer } from '../../smtp/test-peer.ts';
import { systemClock } from '../../system/clock.ts';
import { queuedRecipient } from '../queue/queued-recipient.ts';
import { type DeliveryUnderTest, startDelivery, until } from '../testing.ts';
import { mayRollUp, RollupTable } from './mx-rollup.ts';

const rollups = (lines: string) => `<mx-rollup-list>\n${lines}\n</mx-rollup-list>`;
const RULES = 'mx a1.p.example p.rollup\nmx a2.p.example p.rollup\nmx b1.r.example r.rollup';

/** A1 to A3, B1 and C9 are addresses of one server, so the address tells which host was meant. */
const HOSTS = `
  a1.p.example A 127.0.0.11
  a2.p.example A 127.0.0.12
  a3.p.example A 127.0.0.13
  b1.r.example A 127.0.0.21
  c9.z.example A 127.0.0.31
  d1.s.example A 127.0.0.41
  d2.s.example A 127.0.0.41
  d3.s.example A 127.0.0.42`;

interface Under {
  readonly mta: DeliveryUnderTest;
  /** Sends to these and answers `queue destination` of each, in the order of delivery. */
  send(...recipients: string[]): Promise<string[]>;
}

async function start(
  t: TestContext,
  zone: string | (() => string),
  given: { rules?: string; config?: string; dir?: string } = {},
): Promise<Under> {
  const remote = await startServer(t, {}, {}, systemClock, '0.0.0.0');
  const mta = await startDelivery(t, {
    config: `${rollups(given.rules ?? RULES)}
      ${given.config ?? ''}
      <domain *>
        use-starttls no
        default-smtp-port ${remote.port}
      </domain>
      <virtual-mta v>
      </virtual-mta>`,
    zone: () => `${HOSTS}\n${typeof zone === 'string' ? zone : zone()}`,
    ...(given.dir ? { dir: given.dir } : {}),
  });
  return {
    mta,
    async send(...recipients) {
      const before = mta.journal().length;
      for (const one of recipients) await mta.submit([one], { facts: { vmta: 'v' } });
      await until(() => mta.journal().length >= before + recipients.length);
      await mta.quiet();
      return mta
        .journal()
        .slice(before)
        .map((outcome) =>
          outcome.kind === 'delivered'
            ? `${outcome.attempt.queue} ${outcome.attempt.remoteHost}`
            : `${outcome.kind} ${'result' in outcome ? outcome.result.status : ''}`,
        );
    },
  };
}

const mx = (domain: string, answer: string) =>
  answer
    .split(', ')
    .map((one) => {
      const [host, preference] = one.split(' ');
      const name = host!.startsWith('a') ? `${host}.p` : host!.startsWith('b') ? `${host}.r` : host;
      return `${domain} MX ${preference} ${name}.example`;
    })
    .join('\n');

const CASES: [id: string, answer: string, queue: string, destinations: string][] = [
  ['D10.10', 'a1 10, a2 10', 'p.rollup', 'a1.p.example a2.p.example'],
  ['D10.11', 'a1 10, a2 20', 'm.test', 'a1.p.example'],
  ['D10.12', 'a1 10, a2 10, a3 10', 'p.rollup', 'a1.p.example a2.p.example'],
  ['D10.13', 'a1 10', 'm.test', 'a1.p.example'],
  ['D10.14', 'b1 10, b2 10', 'r.rollup', 'b1.r.example'],
  ['D10.15', 'b1 10, b1 20', 'r.rollup', 'b1.r.example'],
  ['D10.16', 'c9.z 10', 'm.test', 'c9.z.example'],
];

for (const [id, answer, queue, destinations] of CASES) {
  test(`${id} ${answer} => ${queue === 'm.test' ? 'original domain' : queue}, to ${destinations}`, async (t) => {
    const { send } = await start(t, mx('m.test', answer));
    const seen = new Set<string>();
    for (let i = 0; i < 4; i++) {
      for (const one of await send('kim@m.test')) seen.add(one);
    }
    assert.deepEqual(
      [...seen].sort(),
      destinations.split(' ').map((host) => `${queue}/v ${host}`),
    );
  });
}

test('settings come from <domain Q>; the queue is in the accounts, the recipient is unchanged', async (t) => {
  const { mta, send } = await start(t, mx('m.test', 'a1 10, a2 10'), {
    config: '<domain p.rollup>\nmax-smtp-out 7\n</domain>\n<domain m.test>\nmax-smtp-out 3\n</domain>',
  });
  assert.equal(mta.config.queue('p.rollup', 'v').get('max-smtp-out'), 7);
  await send('kim@m.test');
  const outcome = mta.journal().at(-1);
  assert.ok(outcome?.kind === 'delivered');
  assert.equal(outcome.recipient.address, 'kim@m.test');
  assert.equal(outcome.attempt.queue, 'p.rollup/v');
});

test('mail that comes later goes straight to Q while the answer is known; several domains share Q', async (t) => {
  const zone = `${mx('m.test', 'a1 10, a2 10')}\n${mx('n.test', 'a2 10, a1 10, a3 10')}`;
  const { mta, send } = await start(t, zone);
  const known = (domain: string) => mta.rollup.known(mta.config, domain, 'v');
  assert.equal(known('m.test'), null, 'nothing is known yet');
  await send('kim@m.test', 'lou@n.test');
  assert.equal(known('m.test'), 'p.rollup');
  assert.equal(known('n.test'), 'p.rollup');
  mta.resolver.clear('m.test');
  assert.equal(known('m.test'), null);
  assert.equal([...mta.scheduler.queues()].length, 0, 'no empty queue is left behind');
});

test('a domain that leaves the roll-up: its later mail goes its own way', async (t) => {
  let zone = mx('m.test', 'a1 10, a2 10');
  const { mta, send } = await start(t, () => zone);
  assert.match((await send('kim@m.test'))[0]!, /^p.rollup\/v a/);
  zone = mx('m.test', 'c9.z 10');
  mta.resolver.clear();
  assert.deepEqual(await send('kim@m.test'), ['m.test/v c9.z.example']);
  zone = mx('m.test', 'a1 10, a2 10');
  mta.resolver.clear();
  assert.match((await send('kim@m.test'))[0]!, /^p.rollup\/v a/);
});

test('disable-mx-rollup, smtp-hosts and queue-to keep a domain out of the test', async (t) => {
  const config = `
    <domain no.test>
      disable-mx-rollup yes
    </domain>
    <domain hosts.test>
      smtp-hosts c9.z.example
    </domain>
    <domain to.test>
      queue-to big.q
    </domain>
    <domain big.q>
      smtp-hosts c9.z.example
    </domain>`;
  const zone = ['no.test', 'hosts.test', 'to.test'].map((domain) => mx(domain, 'a1 10, a2 10')).join('\n');
  const { send } = await start(t, zone, { config });
  assert.match((await send('kim@no.test'))[0]!, /^no.test\/v a/);
  assert.deepEqual(await send('kim@hosts.test'), ['hosts.test/v c9.z.example']);
  assert.deepEqual(await send('kim@to.test'), ['big.q/v c9.z.example']);
  const rules = good(`${rollups(RULES)}\n${config}`);
  for (const domain of ['no.test', 'hosts.test', 'to.test', 'p.rollup', '[192.0.2.1]', '{sparkpost}']) {
    assert.equal(mayRollUp(rules, domain, '{default}'), false, domain);
  }
  assert.equal(mayRollUp(rules, 'other.test', '{default}'), true);
});

test('wildcard: all hosts of lowest preference below it; the hosts are those of <domain Q>', async (t) => {
  const config = '<domain w.rollup>\nsmtp-hosts c9.z.example\n</domain>';
  const zone = `${mx('all.test', 'a1 10, a2 10, b1 20')}\n${mx('some.test', 'a1 10, b1 10')}`;
  const { send } = await start(t, zone, { rules: 'mx *.p.example w.rollup', config });
  assert.deepEqual(await send('kim@all.test'), ['w.rollup/v c9.z.example']);
  assert.match((await send('kim@some.test'))[0]!, /^some.test\/v /);
});

test('wildcard without smtp-hosts in <domain Q>: mail stays with its own domain rather than nowhere', async (t) => {
  const { send } = await start(t, mx('m.test', 'a1 10'), { rules: 'mx *.p.example w.rollup' });
  assert.deepEqual(await send('kim@m.test'), ['m.test/v a1.p.example']);
});

test('rollup-by-ip: one queue, and each message goes to the hosts that its own domain has', async (t) => {
  const zone = `
    one.test MX 10 d1.s.example
    two.test MX 10 d2.s.example
    six.test MX 10 d3.s.example`;
  const { mta, send } = await start(t, zone, { rules: 'mx *.s.example s.rollup rollup-by-ip' });
  const recipients = ['a@one.test', 'b@six.test', 'c@two.test', 'd@six.test', 'e@one.test'];
  await send(...recipients);
  const went = mta.journal().map((outcome) => {
    assert.ok(outcome.kind === 'delivered', outcome.kind);
    return `${outcome.recipient.address} ${outcome.attempt.queue} ${outcome.attempt.destinationIp}`;
  });
  assert.deepEqual(went.sort(), [
    'a@one.test s.rollup/v 127.0.0.41',
    'b@six.test s.rollup/v 127.0.0.42',
    'c@two.test s.rollup/v 127.0.0.41',
    'd@six.test s.rollup/v 127.0.0.42',
    'e@one.test s.rollup/v 127.0.0.41',
  ]);
});

test('rollup-by-ip: what becomes of a domain without usable hosts does not touch the others in the queue', async (t) => {
  const zone = `
    one.test MX 10 d1.s.example
    lost.test MX 10 nowhere.s.example
    broken.test MX 10 dark.s.example
    dark.s.example fails`;
  const { mta } = await start(t, zone, { rules: 'mx *.s.example s.rollup rollup-by-ip' });
  for (const one of ['a@lost.test', 'b@one.test', 'c@s.rollup', 'd@broken.test', 'e@one.test']) {
    await mta.submit([one], { facts: { vmta: 'v' } });
  }
  await until(() => mta.journal().length >= 5);
  await mta.quiet();
  const seen = mta.journal().map((outcome) => {
    const who =
      'recipient' in outcome && typeof outcome.recipient === 'object' ? outcome.recipient.address : '';
    const queue = 'attempt' in outcome ? outcome.attempt?.queue : '';
    return `${outcome.kind} ${who} ${queue}`;
  });
  assert.deepEqual(seen.sort(), [
    'bounced a@lost.test lost.test/v',
    'bounced c@s.rollup s.rollup/v',
    'delivered b@one.test s.rollup/v',
    'delivered e@one.test s.rollup/v',
    'queue-deferred  broken.test/v',
  ]);
  assert.equal(mta.rollup.known(mta.config, 'lost.test', 'v'), null, 'it stays apart for a while');
  assert.equal(mta.rollup.known(mta.config, 'one.test', 'v'), 's.rollup');
});

test('recipients that wait for their own time move too, and wait on in the roll-up queue', async (t) => {
  let zone = mx('m.test', 'c9.z 10');
  const { mta } = await start(t, () => zone);
  await mta.submit(['kim@m.test'], { facts: { vmta: 'v' } });
  await until(() => mta.journal().length === 1);
  zone = mx('m.test', 'a1 10, a2 10');
  mta.resolver.clear();
  await mta.submit(['lou@m.test', 'pat@m.test'], { facts: { vmta: 'v' } });
  const later = {
    spoolId: 'later00000000001',
    index: 0,
    receivedAt: mta.clock.now(),
    priority: 50,
    attempts: 1,
  };
  const item = queuedRecipient({ ...later, holdUntil: mta.clock.now() + 60_000 });
  mta.scheduler.add('m.test', 'v', item, mta.clock.now());
  await until(() => mta.journal().length === 3);
  await mta.quiet();
  assert.equal(mta.scheduler.find('m.test', 'v'), undefined);
  assert.equal(mta.scheduler.find('p.rollup', 'v')?.held.size, 1);
});

test('mail in a roll-up queue that the configuration has no longer goes home, and is not bounced', async (t) => {
  const { mta } = await start(t, mx('m.test', 'c9.z 10'));
  const { envelope } = await mta.submit(['kim@m.test'], { facts: { vmta: 'v' } });
  await until(() => mta.journal().length === 1);
  // As after a restart without the rule: the spool still names the old queue.
  const spoolId = 'stray00000000001';
  const facts = { ...envelope.facts, spoolId };
  const pending = {
    spoolId,
    index: 0,
    receivedAt: facts.receivedAt,
    attempts: 1,
    holdUntil: 0,
    priority: 50,
  };
  const stored = [{ ...pending, domain: 'old.rollup', vmta: 'v' }];
  await mta.spool.store({ ...envelope, facts }, Buffer.from('Subject: x\r\n\r\nHello\r\n'), stored, []);
  mta.scheduler.add('old.rollup', 'v', queuedRecipient(pending), mta.clock.now());
  mta.dispatcher.kick();
  await until(() => mta.journal().length === 2);
  const outcome = mta.journal()[1];
  assert.ok(outcome?.kind === 'delivered');
  assert.equal(outcome.attempt.queue, 'm.test/v');
  // Somebody's own domain of such a name is a domain like any other.
  await mta.submit(['lou@their.rollup'], { facts: { vmta: 'v' } });
  await until(() => mta.journal().length === 3);
  assert.equal(mta.journal()[2]?.kind, 'bounced');
});

test('of several queues that fit the first in the file is taken; many rules cost no more', () => {
  const rule = (host: string, queue: string, wildcard = false) => ({
    host,
    wildcard,
    queue,
    byIp: false,
    origin: { file: 'x', line: 1 },
  });
  const many = Array.from({ length: 5000 }, (_, i) => rule(`h${i}.test`, `q${i}.rollup`));
  const table = new RollupTable([
    rule('p.example', 'wild.rollup', true),
    rule('a1.p.example', 'one.rollup'),
    ...many,
    rule('a1.p.example', 'two.rollup'),
    rule('a2.p.example', 'two.rollup'),
  ]);
  assert.equal(table.match(['a1.p.example', 'a2.p.example']), 'wild.rollup');
  assert.equal(table.match(['a1.p.example', 'x.example']), 'one.rollup');
  assert.equal(table.match(['h77.test']), 'q77.rollup');
  assert.equal(table.match(['p.example']), null, 'the parent itself is not below it');
  assert.equal(table.match([]), null);
});
