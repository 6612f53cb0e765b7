// Hostile hosts that the whole program delivers to: each ends in a defined record, costs a bounded amount of memory
// and time, and what it says forges nothing where it is shown.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { createDnsServer, type DnsReply } from '../src/dns/index.ts';
import { type Stage, startStage } from './hostile.ts';
import { root, until } from './program.ts';

/** Answers for commands by their first word; a function says everything itself. */
type Script = Readonly<Record<string, string | ((socket: Socket) => void)>>;

interface Host {
  readonly name: string;
  readonly script: Script;
  /** The record that the recipient gets, and what its status and diagnostic say. */
  readonly record: 't' | 'b' | 'd';
  readonly says: RegExp;
}

const EHLO = '250-evil.test\r\n250-8BITMIME\r\n250 SIZE\r\n';
/** What a host does that is none of the hostile ones. */
const GOOD: Script = {
  greeting: '220 evil.test\r\n',
  EHLO,
  HELO: '250 evil.test\r\n',
  MAIL: '250 2.1.0 ok\r\n',
  RCPT: '250 2.1.5 ok\r\n',
  DATA: '354 go on\r\n',
  content: '250 2.0.0 taken\r\n',
  BDAT: '250 2.0.0 taken\r\n',
  RSET: '250 2.0.0 ok\r\n',
  QUIT: '221 bye\r\n',
};

/** Writes the same again for as long as somebody reads. */
const endless = (text: string) => (socket: Socket) => {
  const piece = text.repeat(Math.ceil(65_536 / text.length));
  const write = () => {
    while (!socket.destroyed && socket.write(piece));
    if (!socket.destroyed) socket.once('drain', write);
  };
  write();
};

/** One byte, and then another. */
const dripping = (text: string) => (socket: Socket) => {
  let at = 0;
  const timer = setInterval(() => {
    if (socket.destroyed) clearInterval(timer);
    else socket.write(text[at++ % text.length]!);
  }, 100);
  socket.once('close', () => clearInterval(timer));
};

const close = (socket: Socket) => void socket.end();
const reset = (socket: Socket) => void socket.resetAndDestroy();
const silence = () => {};

const FORGERY =
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is meant as it stands
  '550 5.7.1 "quoted",comma,=cmd|x!A0 <script>alert(1)</script>&amp; \x1b[2J\x1b]0;owned\x07\rd,2026-11-21 10:00:00+0000,forged@victim.test\x00\x9b\u2028\u202e ${jndi:ldap://x} %s%n';
const forgery = Buffer.from(`${FORGERY}\r\n`, 'utf8');

const HOSTS: readonly Host[] = [
  // Replies without end
  ...(
    [
      ['greeting', 'a greeting of lines without end', endless('220-again\r\n')],
      ['greeting', 'a greeting that is one line without end', endless('220 xxxxxxx')],
      ['greeting', 'replies that nobody asked for, without end', endless('220 hello\r\n')],
      ['EHLO', '100,000 lines of EHLO', '250-X-EXTENSION\r\n'.repeat(100_000)],
      ['MAIL', 'a reply of 10 MB in one line', `250 ${'x'.repeat(10_000_000)}\r\n`],
      ['RCPT', '99 lines of 8,000 characters', `550-${'x'.repeat(8_000)}\r\n`.repeat(99)],
      ['content', 'a final reply without end', endless('250-taken\r\n')],
      ['greeting', 'zeros', endless('\0')],
      ['greeting', 'HTTP', 'HTTP/1.1 200 OK\r\n\r\n'],
    ] as const
  ).map(
    ([when, name, how]): Host => ({
      name,
      script: { [when]: how },
      record: 't',
      says: /too long|too many lines|not SMTP|more replies|bad connection/,
    }),
  ),
  // Slow ones
  {
    name: 'a greeting of one byte a time',
    script: { greeting: dripping('220-x\r\n') },
    record: 't',
    says: /timeout/,
  },
  { name: 'no greeting', script: { greeting: silence }, record: 't', says: /timeout/ },
  {
    name: 'lines of a reply a byte a time',
    script: { RCPT: dripping('250-a\r\n') },
    record: 't',
    says: /timeout|bad connection/,
  },
  { name: 'no final reply', script: { content: silence }, record: 't', says: /timeout/ },
  {
    name: 'a final reply a byte a time',
    script: { content: dripping('250-a\r\n') },
    record: 't',
    says: /timeout/,
  },
  // Those that hang up
  ...['greeting', 'EHLO', 'MAIL', 'RCPT', 'DATA', 'content'].flatMap((when): Host[] => [
    { name: `closes at ${when}`, script: { [when]: close }, record: 't', says: /closed|bad connection/ },
    {
      name: `resets at ${when}`,
      script: { [when]: reset },
      record: 't',
      says: /closed|reset|bad connection/,
    },
  ]),
  // Those that answer what makes no sense
  { name: '354 to MAIL', script: { MAIL: '354 go on\r\n' }, record: 't', says: /./ },
  { name: '334 to RCPT', script: { RCPT: '334 \r\n' }, record: 't', says: /./ },
  { name: '250 to DATA', script: { DATA: '250 fine\r\n' }, record: 't', says: /250/ },
  { name: '354 for a final reply', script: { content: '354 more\r\n' }, record: 't', says: /354/ },
  {
    name: 'two final replies at once',
    script: { content: '250 ok\r\n550 no\r\n' },
    record: 'd',
    says: /250 ok/,
  },
  {
    name: 'a SIZE of one byte',
    script: { EHLO: '250-x\r\n250 SIZE 1\r\n' },
    record: 'b',
    says: /5\.3\.4|5\.2\.3/,
  },
  {
    name: 'a SIZE that is none',
    script: { EHLO: `250-x\r\n250-SIZE -1\r\n250 SIZE ${'9'.repeat(40)}\r\n` },
    record: 'd',
    says: /taken/,
  },
  {
    name: 'an enhanced code that is none',
    script: { RCPT: '550 5.99999.1 no\r\n' },
    record: 'b',
    says: /5\.0\.0/,
  },
  // Forgery
  {
    name: 'forged words',
    script: { RCPT: (socket) => void socket.write(forgery) },
    record: 'b',
    says: /quoted/,
  },
  {
    name: 'forged words in passing',
    script: {
      RCPT: (socket) => void socket.write(Buffer.from(forgery.toString().replace('550 5.', '450 4.'))),
    },
    record: 't',
    says: /quoted/,
  },
];

/** What a host was sent, byte for byte. */
const heard: string[] = [];

const CAPTURE: Host = { name: 'listens', script: {}, record: 'd', says: /taken/ };
const INJECTING: Host = {
  name: 'speaks in clear before the handshake',
  script: {
    EHLO: '250-evil.test\r\n250 STARTTLS\r\n',
    STARTTLS: '220 go on\r\n250-evil.test\r\n250-SIZE 1\r\n250 AUTH PLAIN\r\n250 taken\r\n250 taken\r\n',
  },
  record: 't',
  says: /./,
};

/** MX records and addresses as nobody should give them, by the first label of the domain. */
const ZONES: Readonly<Record<string, (name: string, type: string) => DnsReply['answers']>> = {
  loop: (name) => [
    { name, type: 'CNAME', ttl: 1, data: name.startsWith('a.') ? 'loop.dns.test' : 'a.loop.dns.test' },
  ],
  self: (name, type) => (type === 'MX' ? [mx(name, 0, name)] : []),
  many: (name, type) =>
    type === 'MX' ? Array.from({ length: 1500 }, (_, n) => mx(name, n, `m${n}.many.dns.test`)) : [],
  words: (name, type) =>
    type === 'MX' ? [mx(name, 1, 'x\r\ny z\x1b[2J"<script>.test'), mx(name, 2, '\u202e.test')] : [],
  root: (name, type) => (type === 'MX' ? [mx(name, 0, '.')] : []),
  others: (_, type) => (type === 'MX' ? [mx('bank.test', 0, 'mx.bank.test')] : []),
  inside: (name, type) =>
    type === 'MX'
      ? [mx(name, 0, 'in.inside.dns.test')]
      : type === 'A'
        ? [a(name, '127.0.0.1'), a(name, '0.0.0.0')]
        : [],
  addresses: (name, type) =>
    type === 'MX'
      ? [mx(name, 0, 'in.addresses.dns.test')]
      : type === 'A'
        ? Array.from({ length: 3000 }, (_, n) => a(name, `127.1.${n >> 8}.${n & 255}`))
        : [],
};
const mx = (name: string, preference: number, exchange: string) =>
  ({ name, type: 'MX', ttl: 1, data: { preference, exchange } }) as const;
const a = (name: string, data: string) => ({ name, type: 'A', ttl: 1, data }) as const;

const names = createDnsServer({
  answer({ name, type }) {
    const zone = ZONES[name.split('.').at(-3) ?? ''];
    const answers = name.endsWith('.dns.test') && zone ? zone(name, type) : [];
    return { code: 'NOERROR', answers };
  },
});

/** Every domain ends on a port of its own. */
const domainOf = (n: number) => `h${n}.evil.test`;
const sockets = new Set<Socket>();
let stage: Stage;

async function host({ script }: Host): Promise<number> {
  const answers: Script = { ...GOOD, ...script };
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    socket.on('error', () => {});
    if (script === CAPTURE.script) socket.on('data', (piece: string) => heard.push(piece));
    converse(socket, answers);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  server.unref();
  return (server.address() as AddressInfo).port;
}

function converse(socket: Socket, answers: Script): void {
  let pending = '';
  let content = false;
  const say = (what: string) => {
    const answer = answers[what] ?? '500 what\r\n';
    if (typeof answer === 'string') socket.write(answer);
    else answer(socket);
  };
  socket.setEncoding('latin1');
  socket.on('data', (piece: string) => {
    pending += piece;
    for (;;) {
      const end = content ? pending.indexOf('\r\n.\r\n') : pending.indexOf('\r\n');
      if (end < 0) return;
      const line = pending.slice(0, end);
      pending = pending.slice(end + (content ? 5 : 2));
      if (content) {
        content = false;
        say('content');
        continue;
      }
      const verb = line.split(/[ :]/, 1)[0]!.toUpperCase();
      content = verb === 'DATA' && answers.DATA === GOOD.DATA;
      if (verb === 'STARTTLS' && !answers.STARTTLS) return;
      say(verb);
    }
  });
  say('greeting');
}

before(async () => {
  const ports = await Promise.all(HOSTS.map(host));
  const nameServer = await names.listen('127.0.0.1', 0, 'a test');
  const listening = await host(CAPTURE);
  const injecting = await host(INJECTING);
  stage = await startStage({
    config: () => `
name-server 127.0.0.1:${nameServer}
<domain *>
    connect-timeout 5s
    smtp-greeting-timeout 5s
    data-send-timeout 5s
    smtp-data-termination-timeout 5s
    smtp-multiple-line-response-timeout 5s
    retry-after 1h
    bounce-after 2h
    log-transfer-failures yes
</domain>
<domain listens.test>
    smtp-hosts [127.0.0.1]:${listening}
</domain>
<domain injects.test>
    smtp-hosts [127.0.0.1]:${injecting}
    use-starttls yes
    require-starttls yes
</domain>
${ports.map((port, n) => `<domain ${domainOf(n)}>\n    smtp-hosts [127.0.0.1]:${port}\n</domain>`).join('\n')}
`,
  });
});
after(async () => {
  for (const socket of sockets) socket.destroy();
  await stage.stop();
  await names.close();
});

test('whatever the next host does, its recipient gets one record that says so, and other mail goes through', async (t) => {
  const peer = await stage.session(t);
  for (const n of HOSTS.keys()) {
    for (const line of ['MAIL FROM:<a@client.test>', `RCPT TO:<r@${domainOf(n)}>`, 'DATA'])
      await peer.ask(line);
    assert.match(await peer.ask(`Subject: to ${n}\r\n\r\nHello\r\n.`), /^250 /);
  }
  peer.write('QUIT\r\n');
  await stage.ordinary(t);
  const found = async () => {
    const rows = (await Promise.all(['t', 'tq', 'b', 'd'].map((type) => stage.records(type)))).flat();
    return HOSTS.map((_, n) => rows.filter((row) => row.get('queue') === `${domainOf(n)}/{default}`));
  };
  await until(async () => (await found()).every((rows) => rows.length > 0)).catch(() => {});
  const wrong: string[] = [];
  const log = stage.log().split('\n');
  for (const [n, rows] of (await found()).entries()) {
    const { name, record, says } = HOSTS[n]!;
    const logged = log.filter((line) => line.includes(` ${domainOf(n)}/`)).join(' ');
    const told = rows.map((row) => `${row.get('type')} ${row.get('dsnStatus')} ${row.get('dsnDiag')}`);
    if (told.length !== 1 || !told[0]!.startsWith(record) || !says.test(told[0]! + logged))
      wrong.push(`${name}: ${told.map((one) => one.slice(0, 200)).join(' | ') || 'no record'}`);
  }
  assert.deepEqual(wrong, []);
  await stage.unharmed(t);
});

/** Controls and direction marks, tabs and line ends aside: what a terminal, a log or a reader of lines would obey. */
const COMMANDING = /[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]/u;

test('what a remote host says forges no record, no log line, and moves no cursor', async (t) => {
  const places = HOSTS.map(({ name }, n) => (name.startsWith('forged') ? n : -1)).filter((n) => n >= 0);
  for (const place of places) {
    const rows = (await Promise.all(['t', 'b'].map((type) => stage.records(type)))).flat();
    const [row] = rows.filter((one) => one.get('queue') === `${domainOf(place)}/{default}`);
    const words = row!.get('dsnDiag')!;
    assert.ok(words.includes('"quoted",comma,=cmd|x!A0 <script>alert(1)</script>&amp; \\x1b[2J'), words);
    assert.ok(
      words.includes('\\x0dd,2026-11-21 10:00:00+0000,forged@victim.test\\x00\\x9b\\u2028\\u202e'),
      words,
    );
  }
  // One line for each record, the type in front: for readers that know nothing of quotes as well.
  for (const line of stage.accounting().split(/\r\n|[\r\n\u2028\u2029\x85]/)) {
    assert.match(line, /^(?:type|r|d|b|t|tq),|^\{"owner"|^$/, line.slice(0, 100));
    assert.doesNotMatch(line, COMMANDING);
  }
  for (const line of stage.log().split(/\r\n|[\r\n\u2028\u2029\x85]/)) {
    assert.match(line, /^20\d\d-\d\d-\d\d \d\d:\d\d:\d\d \w+: |^$/, line.slice(0, 100));
    assert.doesNotMatch(line, COMMANDING);
  }
  for (const format of [[], ['--xml'], ['--dom'], ['--json']]) {
    const args = [
      '--config',
      path.join(stage.dir, 'pmta.conf'),
      ...format,
      'show',
      'queues',
      '--maxitems=100',
    ];
    const { stdout, status } = spawnSync(process.execPath, [path.join(root, 'bin/pmta.js'), ...args], {
      encoding: 'utf8',
    });
    assert.equal(status, 0);
    assert.ok(stdout.includes(domainOf(places.at(-1)!)));
    assert.doesNotMatch(stdout, COMMANDING);
    if (format[0] === '--json') JSON.parse(stdout);
    if (format[0] === '--xml') assert.ok(!stdout.includes('<script>'));
  }
  await stage.unharmed(t);
});

test('what a host says in clear before the TLS handshake is never taken for what comes after it', async (t) => {
  const peer = await stage.session(t);
  for (const line of ['MAIL FROM:<a@client.test>', 'RCPT TO:<r@injects.test>', 'DATA']) await peer.ask(line);
  assert.match(await peer.ask('Subject: secret\r\n\r\nHello\r\n.'), /^250 /);
  const found = async () =>
    (await stage.records('tq')).find((row) => row.get('queue') === 'injects.test/{default}');
  await until(async () => (await found()) !== undefined);
  assert.match(stage.log(), / injects\.test\/\{default\}: EPROTOCOL .*data came before the TLS handshake/);
  assert.ok(!(await stage.records('d')).some((row) => row.get('rcpt') === 'r@injects.test'));
  await stage.unharmed(t);
});

test('lines of dots that came in by BDAT go on stuffed; nothing in a message is a command to the next host', async (t) => {
  const lines = [
    '.',
    '..',
    '...',
    '. ',
    '.x',
    '',
    '.',
    'MAIL FROM:<forged@victim.test>',
    'RCPT TO:<x@y.test>',
    'DATA',
  ];
  const content = `Subject: dots\r\n\r\n${lines.join('\r\n')}\r\nforged\r\n.\r\nQUIT\r\n`;
  const peer = await stage.session(t);
  for (const line of ['MAIL FROM:<a@client.test>', 'RCPT TO:<r@listens.test>']) await peer.ask(line);
  peer.write(`BDAT ${content.length} LAST\r\n${content}`);
  assert.match(await peer.text(), /^250 /);
  await until(() => heard.join('').includes('\r\nQUIT\r\n.\r\n'));
  const said = heard.join('');
  const from = said.indexOf('DATA\r\n') + 6;
  const end = said.indexOf('\r\n.\r\n', from);
  const sent = said.slice(from, end + 2);
  assert.ok(sent.replaceAll('\r\n.', '\r\n').endsWith(content));
  assert.doesNotMatch(sent, /\r(?!\n)|(?<!\r)\n|\n\.\r\n/);
  assert.match(said.slice(end + 5), /^(?:(?:QUIT|RSET)\r\n)?$/);
  await stage.unharmed(t);
});

test('whatever DNS answers, each domain gets a record, and its names forge nothing', async (t) => {
  const peer = await stage.session(t);
  const zones = Object.keys(ZONES);
  for (const zone of zones) {
    for (const line of ['MAIL FROM:<a@client.test>', `RCPT TO:<r@${zone}.dns.test>`, 'DATA'])
      await peer.ask(line);
    assert.match(await peer.ask('Subject: by DNS\r\n\r\nHello\r\n.'), /^250 /);
  }
  const found = async () => {
    const rows = (await Promise.all(['t', 'tq', 'b', 'd'].map((type) => stage.records(type)))).flat();
    return zones.map((zone) => [
      zone,
      rows
        .filter((row) => row.get('queue') === `${zone}.dns.test/{default}`)
        .map((row) => `${row.get('type')} ${row.get('dsnStatus')}`),
    ]);
  };
  await until(async () => (await found()).every(([, rows]) => rows!.length > 0)).catch(() => {});
  for (const [zone, rows] of await found()) {
    assert.ok(rows!.length === 1 && /^(?:tq|t|b) [45]\./.test(rows![0]!), `${zone}: ${JSON.stringify(rows)}`);
  }
  assert.doesNotMatch(stage.accounting().replaceAll('\r\n', '\n'), COMMANDING);
  assert.doesNotMatch(stage.log(), COMMANDING);
  await stage.unharmed(t);
});
