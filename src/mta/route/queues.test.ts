// What makes a queue (delivery guide, section 2), and which one mail joins when it is stored (section 10).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { good } from '../../config/testing.ts';
import { reply } from '../../smtp/index.ts';
import { startServer } from '../../smtp/test-peer.ts';
import { SpoolWriteError } from '../../spool/spool-write-error.ts';
import { limitsFromConfig } from '../limits-from-config.ts';
import { queuePattern } from '../monitor/queue-pattern.ts';
import { queuedRecipient } from '../queue/queued-recipient.ts';
import { Scheduler } from '../queue/scheduler.ts';
import { startDelivery, startReception } from '../testing.ts';

const open = (source: string) => `<source 0/0>\nalways-allow-relaying yes\n${source}\n</source>`;
const vmtas = (...names: string[]) => names.map((name) => `<virtual-mta ${name}>\n</virtual-mta>`).join('\n');
const HELLO = 'Subject: x\r\n\r\nHello\r\n';
const V = 'X-Virtual-MTA: v\r\n';
const byHeader = open('process-x-virtual-mta yes');

test('section 2: u@a.example without selection => a.example/{default}', async (t) => {
  const mta = await startReception(t, open(''));
  await mta.send({ to: ['u@A.example'], content: HELLO });
  assert.deepEqual(
    mta.queued.map(({ domain, vmta }) => `${domain}/${vmta}`),
    ['a.example/{default}'],
  );
});

test('section 2: one message with recipients in several domains lies in several queues', async (t) => {
  const mta = await startReception(t, open(''));
  await mta.send({ to: ['u@a.example', 'u@b.example', 'w@a.example'], content: HELLO });
  const queues = mta.queued.map(({ domain, vmta, index }) => `${index} ${domain}/${vmta}`);
  assert.deepEqual(queues, ['0 a.example/{default}', '1 b.example/{default}', '2 a.example/{default}']);
  assert.equal(new Set(mta.queued.map(({ spoolId }) => spoolId)).size, 1);
});

test('section 2: a domain in U-labels names the queue of its A-labels', async (t) => {
  const mta = await startReception(t, open(''));
  await mta.send({ to: ['u@xn--bcher-kva.example'], content: HELLO });
  assert.equal(mta.queued[0]?.domain, 'xn--bcher-kva.example');
  assert.ok(queuePattern('Bücher.example/*')(mta.queued[0].domain, mta.queued[0].vmta));
});

test('section 2: max-smtp-out 20, two VMTAs => up to 40 connections; a.example/v1 in backoff or retry does not affect a.example/v2', () => {
  const config = good(`${vmtas('v1', 'v2')}\n<domain a.example>\nmax-smtp-out 20\n</domain>`);
  const scheduler = new Scheduler(
    limitsFromConfig(() => config),
    { resume() {} },
  );
  for (const vmta of ['v1', 'v2']) {
    for (let i = 0; i < 100; i++) {
      const item = {
        spoolId: `${vmta}${i}`,
        index: 0,
        receivedAt: 0,
        priority: 50,
        attempts: 0,
        holdUntil: 0,
      };
      scheduler.add('a.example', vmta, queuedRecipient(item), 0);
    }
  }
  const open = new Map<string, number>();
  for (let grant = scheduler.nextConnection(0); grant; grant = scheduler.nextConnection(0)) {
    open.set(grant.queue.vmta, (open.get(grant.queue.vmta) ?? 0) + 1);
  }
  assert.deepEqual(Object.fromEntries(open), { v1: 20, v2: 20 });
  const [first, second] = [scheduler.find('a.example', 'v1')!, scheduler.find('a.example', 'v2')!];
  scheduler.failed(first, 0, 'no answer');
  assert.ok(first.retryAt > 0);
  assert.equal(second.retryAt, 0);
  scheduler.setMode(first, 'backoff', 'a test', 0);
  assert.deepEqual([first.mode, second.mode], ['backoff', 'normal']);
});

test('D3.9: a processed X-Virtual-MTA goes from the message unless retain-x-virtual-mta; an unprocessed one stays', async (t) => {
  const removed = async (source: string) => {
    const mta = await startReception(t, `${vmtas('v')}\n${open(source)}`);
    await mta.send({ to: ['u@a.example'], content: `${V}${HELLO}` });
    const { removeHeaders, facts } = mta.stored().envelope;
    return `${facts.vmta} ${removeHeaders.some((name) => name.toLowerCase() === 'x-virtual-mta')}`;
  };
  assert.equal(await removed('process-x-virtual-mta yes'), 'v true');
  assert.equal(await removed('process-x-virtual-mta yes\nretain-x-virtual-mta yes'), 'v false');
  assert.equal(await removed('process-x-virtual-mta no'), '{default} false');
});

test('D3.4: the priority of a rule is kept with the queued recipient', async (t) => {
  const rules = '<pattern-list p>\nrcpt-to /kim/ virtual-mta=v,recipient-priority=70\n</pattern-list>';
  const mta = await startReception(t, `${vmtas('v')}\n${rules}\n${open('pattern-list p')}`);
  await mta.send({ to: ['kim@a.example'], content: HELLO });
  assert.deepEqual([mta.queued[0]?.vmta, mta.queued[0]?.priority], ['v', 70]);
});

test('D10.1: <domain [*.]m.example> queue-to "m.q" => m.q/v; envelope recipients are unchanged', async (t) => {
  const config = `${vmtas('v')}\n<domain [*.]m.example>\nqueue-to "m.q"\n</domain>\n<domain m.q>\nsmtp-hosts [192.0.2.1]\n</domain>`;
  const mta = await startReception(t, `${config}\n${byHeader}`);
  await mta.send({ to: ['a@m.example', 'b@x.m.example', 'c@n.example'], content: `${V}${HELLO}` });
  assert.deepEqual(
    mta.queued.map(({ domain, vmta }) => `${domain}/${vmta}`),
    ['m.q/v', 'm.q/v', 'n.example/v'],
  );
  assert.deepEqual(
    mta.stored().envelope.recipients.map(({ address }) => address),
    ['a@m.example', 'b@x.m.example', 'c@n.example'],
  );
});

test('D10.2: TARGET has its route from smtp-hosts in its block, or its name resolves in DNS', async (t) => {
  const remote = await startServer(t);
  const mta = await startDelivery(t, {
    config: `
      <domain *>
        use-starttls no
        default-smtp-port ${remote.port}
      </domain>
      <domain a.test>
        queue-to fixed.q
      </domain>
      <domain fixed.q>
        smtp-hosts [127.0.0.1]:${remote.port}
      </domain>
      <domain b.test>
        queue-to known.test
      </domain>
      <domain c.test>
        queue-to nowhere.q
      </domain>`,
    zone: 'known.test A 127.0.0.1',
  });
  await mta.submit(['kim@a.test']);
  await mta.quiet();
  await mta.submit(['kim@b.test']);
  await mta.quiet();
  await mta.submit(['kim@c.test']);
  await mta.quiet();
  assert.deepEqual(mta.story(), [
    'delivered kim@a.test 2.0.0',
    'delivered kim@b.test 2.0.0',
    'bounced kim@c.test 5.1.2',
  ]);
});

test('D10.3: what stands beside queue-to does not govern the joined queue unless its own look-up finds it', () => {
  const config = good(`
    <domain m.example>
      queue-to m.q
      max-smtp-out 3
    </domain>
    <domain *.parent.example>
      queue-to parent.example
      max-smtp-out 4
    </domain>
    <domain *>
      max-msg-rate 100/h
    </domain>`);
  assert.equal(config.queue('m.q', '{default}').get('max-smtp-out'), 20);
  assert.equal(config.queue('parent.example', '{default}').get('max-smtp-out'), 20);
  assert.ok(config.queue('m.q', '{default}').origin('max-msg-rate'), 'the look-up of m.q finds `*`');
});

test('D10.4: queue-to is applied once, and before the diversion to a cold VMTA', async (t) => {
  const mta = await startReception(
    t,
    `<virtual-mta w>
      cold-virtual-mta c
      <domain a.example>
        queue-to big.q
      </domain>
      <domain big.q>
        queue-to other.q
        max-cold-virtual-mta-msg 1/day
      </domain>
    </virtual-mta>
    ${vmtas('c')}
    ${open('default-virtual-mta w')}`,
  );
  for (let i = 0; i < 2; i++) await mta.send({ to: ['kim@a.example'], content: HELLO });
  assert.deepEqual(
    mta.queued.map(({ domain, vmta }) => `${domain}/${vmta}`),
    ['big.q/c', 'big.q/w'],
  );
});

test('D10.5: queue-to {sparkpost} => queue {sparkpost}/v', async (t) => {
  const config = `${vmtas('v')}\n<domain *>\nqueue-to {sparkpost}\n</domain>`;
  const mta = await startReception(t, `${config}\n${byHeader}`);
  await mta.send({ to: ['kim@a.example'], content: `${V}${HELLO}` });
  assert.equal(`${mta.queued[0]?.domain}/${mta.queued[0]?.vmta}`, '{sparkpost}/v');
});

test('a message that the disk refuses is not counted for a cold VMTA', async (t) => {
  const mta = await startReception(
    t,
    `<virtual-mta w>
      cold-virtual-mta c
      <domain *>
        max-cold-virtual-mta-msg 1/day
      </domain>
    </virtual-mta>
    ${vmtas('c')}
    ${open('default-virtual-mta w')}`,
  );
  const store = mta.spool.store;
  mta.spool.store = async () => {
    throw new SpoolWriteError('the disk is full');
  };
  assert.match(await mta.send({ to: ['kim@a.example'], content: HELLO }), /^452 /);
  mta.spool.store = store;
  assert.match(await mta.send({ to: ['kim@a.example'], content: HELLO }), /^250 /);
  assert.equal(mta.queued[0]?.vmta, 'c');
});

test('a VMTA that vanishes after queueing, or was invalid when it was chosen: bounce with 5.3.5', async (t) => {
  const remote = await startServer(t, {}, { onRcpt: () => reply(250, '2.1.5', 'ok') });
  const mta = await startDelivery(t, {
    config: `<domain *>\nuse-starttls no\nsmtp-hosts [127.0.0.1]:${remote.port}\n</domain>`,
  });
  for (const vmta of ['gone', '{invalid}']) {
    await mta.submit(['kim@a.test'], { facts: { vmta } });
    await mta.quiet();
  }
  assert.deepEqual(mta.story(), ['bounced kim@a.test 5.3.5', 'bounced kim@a.test 5.3.5']);
  const outcome = mta.journal()[0];
  assert.ok(outcome?.kind === 'bounced');
  assert.equal(outcome.result.statusText, 'specified VirtualMTA does not exist');
});
