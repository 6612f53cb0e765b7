import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Answer } from 'dns-packet';
import { systemClock } from '../system/clock.ts';
import { resolveMailHosts } from './mail-route.ts';
import { createResolver, type Resolver } from './resolver.ts';
import { createDnsServer } from './server.ts';

/**
 * `name TYPE data` is a record; with a `+` before the name its answer is validated. `name fails` answers SERVFAIL, as
 * a validating server does for a signature that does not hold. Aliases are followed as a recursive server does.
 */
async function zone(t: TestContext, text: string): Promise<Resolver> {
  const records = new Map<string, { answer: Answer; secure: boolean }[]>();
  const failing = new Set<string>();
  for (const line of text.trim().split('\n')) {
    const [first = '', type, data = '', more = ''] = line.trim().split(/ +/);
    const secure = first.startsWith('+');
    const name = first.replace('+', '');
    if (type === 'fails') {
      failing.add(name);
      continue;
    }
    let answer: Answer;
    if (type === 'MX') answer = { type, name, ttl: 60, data: { preference: Number(data), exchange: more } };
    else if (type === 'TLSA') {
      const certificate = Buffer.from(more, 'hex');
      answer = {
        type,
        name,
        ttl: 60,
        data: { usage: Number(data), selector: 1, matchingType: 1, certificate },
      };
    } else answer = { type: type as 'A', name, ttl: 60, data };
    records.set(name, [...(records.get(name) ?? []), { answer, secure }]);
  }
  const server = createDnsServer({
    answer({ name, type }) {
      let at = name;
      let authenticated = true;
      const answers: Answer[] = [];
      for (;;) {
        if (failing.has(at)) return { code: 'SERVFAIL', answers: [] };
        const here = records.get(at) ?? [];
        const found = here.filter(({ answer }) => answer.type === type);
        const alias = here.find(({ answer }) => answer.type === 'CNAME');
        authenticated &&= here.length === 0 ? true : here.every(({ secure }) => secure);
        if (found.length > 0 || !alias || alias.answer.type !== 'CNAME') {
          answers.push(...found.map(({ answer }) => answer));
          const code = here.length === 0 ? 'NXDOMAIN' : 'NOERROR';
          return { code, answers, authenticated };
        }
        answers.push(alias.answer);
        at = alias.answer.data;
      }
    },
  });
  const port = await server.listen('127.0.0.1', 0, 'a test');
  const resolver = createResolver({
    servers: [{ address: '127.0.0.1', port }],
    clock: systemClock,
    attempts: 1,
  });
  t.after(async () => {
    await resolver.close();
    await server.close();
  });
  return resolver;
}

const ZONE = `
  +good.test A 192.0.2.1
  +_25._tcp.good.test TLSA 3 abcd
  +_25._tcp.good.test TLSA 2 ef01
  open.test A 192.0.2.2
  _25._tcp.open.test TLSA 3 abcd
  +half.test A 192.0.2.3
  _25._tcp.half.test TLSA 3 abcd
  +none.test A 192.0.2.4
  +bogus.test A 192.0.2.5
  _25._tcp.bogus.test fails
  lost.test fails
  +alias.test CNAME good.test
  +own.test CNAME none.test
  +_25._tcp.own.test TLSA 3 0102
  +leaves.test CNAME open.test
  +_25._tcp.leaves.test TLSA 3 0304
  enters.test CNAME good.test
  +mail.test MX 10 good.test
  +mail.test MX 20 open.test
  plain.test MX 10 good.test
  +direct.test A 192.0.2.6
`;

async function tlsa(t: TestContext, host: string, port = 25): Promise<string> {
  const found = await (await zone(t, ZONE)).tlsa(host, port);
  if (found.kind === 'none') return `none: ${found.reason}`;
  if (found.kind === 'failure') return 'failure';
  return `${found.base} ${found.records.map(({ usage, certificate }) => usage + certificate.toString('hex'))}`;
}

const CASES: [what: string, host: string, expected: string][] = [
  ['validated address and records: used', 'good.test', 'good.test 3abcd,2ef01'],
  ['address not validated: DANE does not apply', 'open.test', 'none: insecure'],
  ['records not validated: not used', 'half.test', 'none: insecure'],
  ['validated that there are none', 'none.test', 'none: absent'],
  ['records that cannot be had: the host is out of reach', 'bogus.test', 'failure'],
  ['address that cannot be had', 'lost.test', 'failure'],
  ['no such host', 'nobody.test', 'none: absent'],
  ['validated alias: the records of the name it stands for', 'alias.test', 'good.test 3abcd,2ef01'],
  ['validated alias: else its own records', 'own.test', 'own.test 30102'],
  ['validated alias of a host that is not: its own records', 'leaves.test', 'leaves.test 30304'],
  ['alias that is not validated', 'enters.test', 'none: insecure'],
];

for (const [what, host, expected] of CASES) {
  test(`TLSA (RFC 7672 2.2): ${what}`, async (t) => {
    assert.equal(await tlsa(t, host), expected);
  });
}

test('TLSA: records are of one port', async (t) => {
  assert.equal(await tlsa(t, 'good.test', 465), 'none: absent');
});

test('a mail route says whether MX and addresses were validated, and whether there was an MX', async (t) => {
  const resolver = await zone(t, ZONE);
  const facts = async (domain: string) => {
    const route = await resolveMailHosts(resolver, domain);
    if (route.kind !== 'hosts') return route.kind;
    const hosts = route.groups.flatMap((group) => group.hosts.map((h) => `${h.name} ${h.authenticated}`));
    return [route.implicit ? 'implicit' : 'mx', route.authenticated, ...hosts].join(', ');
  };
  assert.equal(await facts('mail.test'), 'mx, true, good.test true, open.test false');
  assert.equal(await facts('plain.test'), 'mx, false, good.test true');
  assert.equal(await facts('direct.test'), 'implicit, true, direct.test true');
  assert.equal(await facts('open.test'), 'implicit, false, open.test false');
});
