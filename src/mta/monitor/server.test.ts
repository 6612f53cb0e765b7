import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { get as httpGet } from 'node:http';
import { get as httpsGet } from 'node:https';
import { connect } from 'node:net';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { logTime } from '../../system/log.ts';
import { queuedRecipient } from '../queue/queued-recipient.ts';
import { KEY, monitor } from './testing.ts';

/** Elements of `show status` in the order that readers of PowerMTA's answers expect; leaves without the braces. */
const WINDOW = 'out{rcp msg kb} in{rcp msg kb} bounceProcessed feedbackLoopProcessed';
const QUEUE_TYPES = 'smtp pipe discard file alias bounceProcessor feedbackLoopProcessor httpDelivery'.split(
  ' ',
);
const STATUS = `
  mta{ product{name version buildDate revision bits} lak{serial instances} os{name version build} cpu{type count}
    ram{real} fullHostName userString hostId }
  status{ timeNow startupTime shuttingDown
    traffic{ total{${WINDOW}} lastHr{${WINDOW}} lastMin{${WINDOW}} topPerHr{${WINDOW}} topPerMin{${WINDOW}}
      perf{ lastMin{ in{ count mailFromTime dataTime totalTime } } } }
    conn{ smtpIn{cur max top} smtpOut{cur max top} }
    resolver{ namesCached queriesPending queriesActive }
    queue{ ${QUEUE_TYPES.map((type) => `${type}{rcp dom kb}`).join(' ')} }
    spool{ initPct dirs files{ inUse recycled total } totalRcp maxRcp }
    status }`
  .replace(/\s+/g, ' ')
  .replace(/ ?([{}]) ?/g, '$1')
  .trim();

type Node = { [name: string]: unknown };

function shapeOfJson(node: Node): string {
  return Object.entries(node)
    .map(([name, value]) =>
      typeof value === 'object' && value !== null ? `${name}{${shapeOfJson(value as Node)}}` : name,
    )
    .join(' ')
    .replaceAll('} ', '}');
}

test('show status has the elements of the original, in their order, in each format', async (t) => {
  const { ask, add, traffic, clock } = await monitor(t);
  add('a.test', 2);
  traffic.add('in', 2, 1536, clock.now());
  const json = (await (await ask('/status')).json()) as { data: Node; status: string };
  assert.equal(json.status, 'success');
  assert.equal(shapeOfJson(json.data), STATUS);

  const web = await (await ask('/status?format=xml')).text();
  const xml = web.replace('<webUI><protocol>1</protocol></webUI></mta>', '</mta>');
  assert.notEqual(xml, web, 'the web monitor says so in XML only');
  const inside = /^<rsp><data>(.*)<\/data><succ\/><\/rsp>\n$/.exec(xml)![1]!;
  const shape = inside
    .replace(/<(\w+)\/>/g, '$1 ')
    .replace(/<(\w+)>[^<]*<\/\1>/g, '$1 ')
    .replace(/<(\w+)>/g, '$1{')
    .replace(/<\/\w+>/g, '}')
    .replace(/ ([{}])/g, '$1')
    .trim();
  assert.equal(shape, STATUS);
  assert.match(inside, /<in><rcp>2<\/rcp><msg>1<\/msg><kb>1\.5<\/kb><\/in>/);
  assert.match(inside, /<shuttingDown>0<\/shuttingDown>/);
  assert.match(inside, /<serial>0<\/serial>/);

  const dom = await (await ask('/status?format=dom')).text();
  assert.match(dom, /^mta\.product\.name="Posthorn"\n/);
  assert.match(
    dom,
    /\nstatus\.queue\.smtp\.rcp="2"\nstatus\.queue\.smtp\.dom="1"\nstatus\.queue\.smtp\.kb="0\.0"\n/,
  );
  assert.match(dom, /\nstatus\.status="running"\n$/);
});

test('getlocalips is XML without data around it, unless JSON is asked for', async (t) => {
  const { ask } = await monitor(t);
  const xml = /^<rsp><localIps>(?:<ip>[0-9a-f.:]+<\/ip>)+<\/localIps><succ\/><\/rsp>\n$/;
  assert.match(await (await ask('/getlocalips')).text(), xml);
  assert.match(await (await ask('/getlocalips?format=xml')).text(), xml);
  const json = (await (await ask('/getlocalips?format=json')).json()) as { status: string };
  assert.equal(json.status, 'success');
});

test('show status as text: labels and figures stand in their columns', async (t) => {
  const { ask, traffic, clock } = await monitor(t);
  traffic.add('in', 84210, 1024 * 10, clock.now());
  clock.advance(((24 + 6) * 3600 + 18 * 60 + 5) * 1000);
  const text = await (await ask('/status?format=text')).text();
  const lines = text.split('\n');
  assert.match(lines[0]!, /^Posthorn v1\.2\.3 status on mta\.test on \d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/);
  const started = logTime(clock.now() - ((24 + 6) * 3600 + 18 * 60 + 5) * 1000);
  assert.deepEqual(lines.slice(2), [
    '  Traffic    ------------inbound------------  ------------outbound-----------',
    '                 rcpts      msgs      kbytes      rcpts      msgs      kbytes',
    '      Total      84210         1        10.0          0         0         0.0',
    '  Last Hour          0         0         0.0          0         0         0.0',
    '   Top/Hour      84210         1        10.0          0         0         0.0',
    '  Last Min.          0         0         0.0          0         0         0.0',
    '   Top/Min.      84210         1        10.0          0         0         0.0',
    '',
    ' Connections    active       top     maximum  Domain       cached     pending',
    '    Inbound          1         3           2    Names           8           0',
    '   Outbound          4         6           5',
    '',
    '     Queues      rcpts   domains      kbytes  Spool        in use    recycled',
    '       SMTP          0         0         0.0    Files           9           0',
    '      other          0         0         0.0    Init.                complete',
    '',
    `     Status    running    Started  ${started}    Uptime   1  6:18:05`,
    '',
  ]);
});

test('queues: the fullest first, at most maxitems, with the time of the last error', async (t) => {
  const { ask, add, scheduler, clock } = await monitor(t);
  add('a.test', 1);
  add('b.test', 3);
  add('c.test', 2);
  const at = clock.now();
  scheduler.failed(scheduler.find('b.test', '{default}')!, at, 'no answer');
  clock.advance(60_000);
  const { data } = (await (await ask('/queues?maxitems=2')).json()) as { data: { queues: Node[] } & Node };
  assert.deepEqual(
    data.queues.map(({ name, rcp }) => `${name} ${rcp}`),
    ['b.test/{default} 3', 'c.test/{default} 2'],
  );
  assert.deepEqual(data.queues[0]!.errors, [{ time: logTime(at), text: 'no answer' }]);
  assert.equal(data.totalQueuesWithRcp, 3);
  assert.equal(data.totalRcp, 6);
  for (const odd of ['-1', 'x', '1.5']) {
    const answer = await ask(`/queues?maxitems=${odd}`);
    assert.equal(answer.status, 409);
    assert.match(((await answer.json()) as Node).message as string, /is no number/);
  }
  assert.match(await (await ask('/queues?format=text')).text(), /\n3 of 3 matching queues\.\n$/);
});

test('explain names the limit that binds, its value, its line and what would help', async (t) => {
  const { ask, add, scheduler, clock } = await monitor(t);
  add('a.test', 2);
  scheduler.nextConnection(clock.now());
  const { data } = (await (await ask('/explain?queue=a.test/%7Bdefault%7D')).json()) as {
    data: { holds: Node[] };
  };
  const [hold] = data.holds;
  assert.equal(hold?.kind, 'queue-connections');
  assert.equal(hold?.directive, 'max-smtp-out');
  assert.equal(hold?.value, 1);
  assert.equal(hold?.file, '/etc/pmta/config');
  assert.equal(hold?.line, 7);
  const alone = (await (await ask('/explain?queue=a.test')).json()) as { data: Node };
  assert.equal(alone.data.queue, 'a.test/{default}', 'a domain alone means its queues under every VMTA');
  const none = await ask('/explain?queue=gone.test/v&format=text');
  assert.equal(none.status, 409);
  assert.match(await none.text(), /"gone\.test\/v" is no queue/);
});

test('schedule ends the wait of the queues that match, of their recipients when asked to', async (t) => {
  const { ask, add, scheduler, clock, state } = await monitor(t);
  const command = (words: string) =>
    ask('/command', {
      method: 'POST',
      headers: { 'X-API-Key': KEY },
      body: new URLSearchParams({ command: `schedule ${words}`, format: 'text' }),
    });
  for (const domain of ['a.test', 'b.test', 'c.example']) {
    add(domain, 1);
    scheduler.failed(scheduler.find(domain, '{default}')!, clock.now(), 'no answer');
  }
  const waits = (domain: string) => scheduler.find(domain, '{default}')!.retryAt > clock.now();
  assert.match(await (await command('*.test')).text(), /2 of 2 matching queues scheduled\./);
  assert.deepEqual(['a.test', 'b.test', 'c.example'].map(waits), [false, false, true]);
  assert.equal(state.kicks, 1);
  assert.match(await (await command('c.example/other')).text(), /0 of 0/);
  assert.ok(waits('c.example'));

  const now = clock.now();
  const item = queuedRecipient({ spoolId: 'held', index: 0, receivedAt: now, holdUntil: now + 60_000 });
  scheduler.add('d.test', '{default}', item, now);
  await command('d.test');
  assert.equal(scheduler.find('d.test', '{default}')!.ready.size, 0);
  await command('d.test --retry-recipients');
  assert.equal(scheduler.find('d.test', '{default}')!.ready.size, 1);
});

test('counters: totals, what is queued, and what is behind', async (t) => {
  const { ask, add } = await monitor(t);
  add('a.test', 2);
  const { data } = (await (await ask('/counters')).json()) as { data: Node };
  assert.equal(data.queued, 2);
  assert.deepEqual(data.backlog, { outcomes: 2, eventFiles: 1 });
});

test('http-access: the first line that holds the address decides, and none means nobody', async (t) => {
  for (const [access, status] of [
    ['http-access 127.0.0.1 monitor', 200],
    ['http-access 127.0.0.1 none\nhttp-access 0/0 admin', 403],
    ['http-access 192.0.2.0/24 admin', 403],
    ['', 403],
  ] as const) {
    const { ask, lines } = await monitor(t, access);
    const answer = await ask('/status');
    assert.equal(answer.status, status, access);
    await answer.text();
    assert.equal(lines.includes('management access refused'), status === 403);
    assert.equal((await ask('/health')).status, 200, 'health is for everybody');
  }
});

test('other methods are refused, so are pages that there are not', async (t) => {
  const { ask } = await monitor(t);
  const post = await ask('/status', { method: 'DELETE' });
  assert.equal(post.status, 405);
  assert.equal(post.headers.get('allow'), 'GET, HEAD, POST');
  assert.equal((await ask('/nothing')).status, 404);
  assert.equal((await ask('/command?command=reload', { method: 'POST' })).status, 403, 'a browser’s form');
  const head = await ask('/status', { method: 'HEAD' });
  assert.equal(head.status, 200);
  assert.equal(await head.text(), '');
});

test('ready says when the server is stopping', async (t) => {
  const { ask, state } = await monitor(t);
  assert.equal((await ask('/health')).status, 200);
  state.stopping = true;
  assert.equal((await ask('/ready')).status, 503);
  assert.equal((await ask('/health')).status, 200, 'it is alive all the same');
});

test('an address that is none is the client’s fault', async (t) => {
  const { port, lines } = await monitor(t);
  const answer = await new Promise<string>((resolve) => {
    const socket = connect(port, '127.0.0.1', () =>
      socket.write('GET //:x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'),
    );
    let text = '';
    socket.on('data', (piece) => {
      text += piece;
    });
    socket.on('close', () => resolve(text));
  });
  assert.match(answer, /^HTTP\/1\.1 400 /);
  assert.ok(!lines.some((line) => line.includes('failed')), lines.join('\n'));
});

test('nothing changes by GET; a POST needs a key, or the token that an earlier GET gave', async (t) => {
  const { ask, lines } = await monitor(t);
  assert.equal((await ask('/command?command=reload')).status, 403);
  const form = (headers: Record<string, string>) =>
    ask('/command', { method: 'POST', headers, body: new URLSearchParams({ command: 'reload' }) });
  assert.equal((await form({})).status, 403);
  assert.equal((await form({ 'X-API-Key': 'x'.repeat(32) })).status, 403);
  assert.equal((await form({ 'X-API-Key': KEY })).status, 200);
  const page = await ask('/status');
  const token = page.headers.get('x-csrf-token')!;
  const cookie = page.headers.get('set-cookie')!.split(';')[0]!;
  assert.equal((await form({ Cookie: cookie })).status, 403, 'what a browser sends by itself');
  assert.equal((await form({ 'X-CSRF-Token': token })).status, 403);
  assert.equal(
    (
      await form({
        Cookie: `posthorn_csrf=${'0'.repeat(32)}.${'0'.repeat(32)}`,
        'X-CSRF-Token': `${'0'.repeat(32)}.${'0'.repeat(32)}`,
      })
    ).status,
    403,
  );
  const answer = await form({ Cookie: cookie, 'X-CSRF-Token': token });
  assert.deepEqual(await answer.json(), { data: '', status: 'success', message: 'Configuration reloaded.' });
  assert.ok(lines.includes('management command refused'));
});

test('http-csrf-protection no: changing GETs are taken, for old clients', async (t) => {
  const { ask } = await monitor(t, 'http-access 127.0.0.1 admin\nhttp-csrf-protection no');
  assert.equal((await ask('/command?command=reload')).status, 200);
});

test('a level may do what those below it may, and no more', async (t) => {
  for (const [level, show, reload] of [
    ['monitor', 403, 403],
    ['operator', 200, 403],
    ['admin', 200, 200],
  ] as const) {
    const { ask } = await monitor(t, `http-access 127.0.0.1 ${level}\nhttp-csrf-protection no`);
    const command = async (text: string) =>
      (await ask('/command', { method: 'POST', body: new URLSearchParams({ command: text }) })).status;
    assert.equal(await command('show status'), show, level);
    assert.equal(await command('reload'), reload, level);
    assert.equal((await ask('/queues')).status, 200);
  }
});

test('a key raises an address that may read, and helps none that is shut out', async (t) => {
  for (const [access, status] of [
    ['http-access 127.0.0.1 monitor', 200],
    ['http-access 127.0.0.1 none', 403],
  ] as const) {
    const { ask } = await monitor(t, access);
    const body = new URLSearchParams({ command: 'reload' });
    const answer = await ask('/command', { method: 'POST', headers: { 'X-API-Key': KEY }, body });
    assert.equal(answer.status, status, access);
  }
});

test('/command answers with the text that the command prints, or its message; an unknown one fails', async (t) => {
  const { ask, add } = await monitor(t);
  add('a.test', 1);
  const command = async (text: string) =>
    (await (
      await ask('/command', {
        method: 'POST',
        headers: { 'X-API-Key': KEY },
        body: new URLSearchParams({ command: text, format: 'json' }),
      })
    ).json()) as Node;
  const shown = await command('sh que');
  assert.match(shown.data as string, /^queue .*\n[- ]+\na\.test\/\{default\} /);
  assert.deepEqual(await command('pause queue */{default}'), {
    data: '',
    status: 'success',
    message: 'Queue(s) paused.',
  });
  assert.deepEqual(await command('dance'), { data: {}, status: 'fail', message: 'Unknown command.' });
});

test('a plain visitor is sent to HTTPS, which the same port speaks', async (t) => {
  const { ask, port } = await monitor(t, 'http-access 127.0.0.1 admin\nhttp-redirect-to-https yes');
  const answer = await ask('/status?format=xml', { redirect: 'manual' });
  assert.equal(answer.status, 301);
  assert.equal(answer.headers.get('location'), `https://127.0.0.1:${port}/status?format=xml`);
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  httpsGet({ host: '127.0.0.1', port, path: '/status', rejectUnauthorized: false }, (response) => {
    let text = '';
    response.on('data', (piece) => {
      text += piece;
    });
    response.on('end', () => resolve(text));
  }).on('error', reject);
  assert.match(await promise, /"name":"Posthorn"/);
});

test('http-log-requests, -data and -tls: each writes its lines, and none without it; a client that is not ours over HTTPS', async (t) => {
  if (spawnSync('curl', ['--version']).status !== 0) return t.skip('SKIPPED: there is no curl');
  const run = promisify(execFile);
  for (const [setting, expected] of [
    ['', null],
    ['http-log-requests yes', /^request GET \/pmta$/],
    ['http-log-data yes', /^asked show version$/],
    ['http-log-data yes', /^answered .*Posthorn v/],
    ['http-log-tls yes', /^TLS on$/],
  ] as const) {
    const { port, lines } = await monitor(t, `http-access 127.0.0.1 admin\n${setting}`);
    const { stdout } = await run('curl', [
      ...['--silent', '--show-error', '--fail', '--insecure'],
      `https://127.0.0.1:${port}/pmta?command=show+version&format=text`,
    ]);
    assert.match(stdout, / v1\.2\.3/);
    const logged = lines.filter((line) => /^(?:request|asked|answered|TLS on)/.test(line));
    if (expected)
      assert.ok(
        logged.some((line) => expected.test(line)),
        logged.join('\n'),
      );
    else assert.deepEqual(logged, []);
  }
});

test('a name that is not ours, pointed at this machine by somebody else, gets nothing', async (t) => {
  const { port, ask } = await monitor(t);
  const status = (host: string) =>
    new Promise<number | undefined>((resolve, reject) => {
      httpGet({ host: '127.0.0.1', port, path: '/status', headers: { Host: host } }, (response) => {
        response.resume();
        resolve(response.statusCode);
      }).on('error', reject);
    });
  assert.equal(await status('evil.example:8080'), 403);
  for (const ours of ['localhost', `127.0.0.1:${port}`, '[::1]']) assert.equal(await status(ours), 200, ours);
  assert.equal((await ask('/status')).status, 200);
});
