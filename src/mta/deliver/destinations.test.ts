import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { good } from '../../config/testing.ts';
import { startZone } from '../testing.ts';
import { type Destinations, findDestinations } from './destinations.ts';

const ZONE = `
  plain.test MX 20 c.mx.test
  plain.test MX 10 a.mx.test
  plain.test MX 10 b.mx.test
  plain.test MX 20 d.mx.test
  a.mx.test A 192.0.2.1
  a.mx.test AAAA 2001:db8::1
  b.mx.test A 192.0.2.2
  c.mx.test A 192.0.2.3
  d.mx.test A 192.0.2.4
  h1.test A 192.0.2.11
  h2.test A 192.0.2.12
  h3.test A 192.0.2.13
  own.test A 192.0.2.9
  null.test MX 0 .
  dead.test MX 10 nowhere.test
  broken.test fails
`;

async function finder(t: TestContext, settings = '', ours = '') {
  const { resolver } = await startZone(t, ZONE);
  const config = good(`<domain *>\n${settings}\n</domain>`);
  return (domain: string, turn = 0) =>
    findDestinations({
      domain,
      settings: config.queue(domain, '{default}'),
      resolver,
      turn,
      isOurs: ({ addresses }) => addresses.includes(ours),
    });
}

function shown(found: Destinations): string {
  if (found.kind !== 'hosts') return `${found.kind} ${found.status}`;
  return found.hosts.map(({ name, address, port }) => `${name}=${address}:${port}`).join(' ');
}

test('D9.1: MX hosts, lowest preference first; those of one preference take turns, on every level', async (t) => {
  const find = await finder(t);
  const [a, b] = ['a.mx.test=192.0.2.1:25 a.mx.test=2001:db8::1:25', 'b.mx.test=192.0.2.2:25'];
  const [c, d] = ['c.mx.test=192.0.2.3:25', 'd.mx.test=192.0.2.4:25'];
  const seen = [];
  for (let turn = 0; turn < 3; turn++) seen.push(shown(await find('plain.test', turn)));
  assert.deepEqual(seen, [`${a} ${b} ${c} ${d}`, `${b} ${a} ${d} ${c}`, `${a} ${b} ${c} ${d}`]);
});

test('D9.2: without MX the domain itself is the host; D9.8: default-smtp-port', async (t) => {
  const find = await finder(t, 'default-smtp-port 2525');
  assert.equal(shown(await find('own.test')), 'own.test=192.0.2.9:2525');
});

test('D9.4: smtp-hosts: levels in order, the hosts of a level in rotation, literals with ports', async (t) => {
  const find = await finder(t, 'smtp-hosts "h1.test, h2.test; [192.0.2.8]:2525; h3.test"');
  const rest = '192.0.2.8=192.0.2.8:2525 h3.test=192.0.2.13:25';
  const [h1, h2] = ['h1.test=192.0.2.11:25', 'h2.test=192.0.2.12:25'];
  assert.equal(shown(await find('x.test', 0)), `${h1} ${h2} ${rest}`);
  assert.equal(shown(await find('x.test', 1)), `${h2} ${h1} ${rest}`);
  assert.equal(shown(await find('x.test', 2)), `${h1} ${h2} ${rest}`);
});

test('D9.5: a plain name in smtp-hosts is a host, its MX is not asked for', async (t) => {
  const find = await finder(t, 'smtp-hosts plain.test');
  assert.equal(shown(await find('x.test')), 'temporary 4.4.4');
});

test('D9.6: lookup-mx takes that domain’s MX hosts', async (t) => {
  const find = await finder(t, 'smtp-hosts "lookup-mx:plain.test; h3.test"');
  const found = shown(await find('x.test'));
  assert.match(
    found,
    /^a\.mx\.test=.* b\.mx\.test=.* c\.mx\.test=.* d\.mx\.test=.* h3\.test=192\.0\.2\.13:25$/,
  );
});

test('D9.7: literals, bare IPv4 too', async (t) => {
  const find = await finder(t, 'smtp-hosts "[192.0.2.1]; [IPv6:2001:db8::1]:26; 192.0.2.3"');
  assert.equal(
    shown(await find('x.test')),
    '192.0.2.1=192.0.2.1:25 2001:db8::1=2001:db8::1:26 192.0.2.3=192.0.2.3:25',
  );
});

test('D9.10: "" takes an inherited route away', async (t) => {
  const { resolver } = await startZone(t, ZONE);
  const config = good(
    '<domain own.test>\nsmtp-hosts ""\n</domain>\n<domain *>\nsmtp-hosts h1.test\n</domain>',
  );
  const find = (domain: string) =>
    findDestinations({
      domain,
      settings: config.queue(domain, '{default}'),
      resolver,
      turn: 0,
      isOurs: () => false,
    });
  assert.equal(shown(await find('own.test')), 'own.test=192.0.2.9:25');
  assert.equal(shown(await find('other.test')), 'h1.test=192.0.2.11:25');
});

test('a literal as the recipient’s domain is the host', async (t) => {
  const find = await finder(t);
  assert.equal(shown(await find('[192.0.2.7]')), '192.0.2.7=192.0.2.7:25');
  assert.equal(shown(await find('[ipv6:2001:db8::7]')), '2001:db8::7=2001:db8::7:25');
});

test('section 9: a literal that is this server bounces with 5.4.6 instead of going in a circle', async (t) => {
  const find = await finder(t, '', '192.0.2.1');
  assert.equal(shown(await find('[192.0.2.1]')), 'permanent 5.4.6');
  assert.equal(shown(await find('[192.0.2.2]')), '192.0.2.2=192.0.2.2:25');
});

test('what cannot be routed: for ever, or for now', async (t) => {
  const find = await finder(t);
  assert.equal(shown(await find('gone.test')), 'permanent 5.1.2');
  assert.equal(shown(await find('null.test')), 'permanent 5.1.10');
  assert.equal(shown(await find('dead.test')), 'permanent 5.4.4');
  assert.equal(shown(await find('broken.test')), 'temporary 4.4.3');
});

test('one configured host without an address leaves the others; none leaves the mail waiting, by name', async (t) => {
  assert.equal(
    shown(await (await finder(t, 'smtp-hosts "gone.test, broken.test; h1.test"'))('x.test')),
    'h1.test=192.0.2.11:25',
  );
  const found = await (await finder(t, 'smtp-hosts gone.test'))('x.test');
  assert.ok(found.kind === 'temporary');
  assert.match(found.text, /^gone\.test: /);
});
