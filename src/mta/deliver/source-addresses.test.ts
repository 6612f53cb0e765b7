import assert from 'node:assert/strict';
import { test } from 'node:test';
import { good } from '../../config/testing.ts';
import { isSingleAddress, SourceAddresses } from './source-addresses.ts';

const config = good(`
  <virtual-mta two>
    smtp-source-host 127.0.0.11 one.test
    smtp-source-host 127.0.0.12 two.test
  </virtual-mta>
  <virtual-mta six>
    smtp-source-host 2001:DB8:0::1 six.test
  </virtual-mta>
  <virtual-mta both>
    smtp-source-host 127.0.0.11 four.test
    smtp-source-host 2001:db8::1 six.test
  </virtual-mta>
  <virtual-mta elsewhere>
    smtp-source-host 203.0.113.0/24 range.test
  </virtual-mta>
  <virtual-mta none>
  </virtual-mta>`);
const vmta = (name: string) => config.vmtas.get(name)!;

test('the addresses of a VMTA that reach a family, each with its own host name', () => {
  const sources = new SourceAddresses();
  assert.deepEqual(sources.of(vmta('two'), 4), [
    { address: '127.0.0.11', host: 'one.test' },
    { address: '127.0.0.12', host: 'two.test' },
  ]);
  assert.deepEqual(sources.of(vmta('six'), 6), [{ address: '2001:db8::1', host: 'six.test' }]);
});

test('without an address the operating system chooses', () => {
  assert.equal(new SourceAddresses().of(vmta('none'), 4), 'system');
});

test('no address is taken that cannot reach the host, and none that the VMTA does not name', () => {
  const sources = new SourceAddresses();
  assert.deepEqual(sources.of(vmta('two'), 6), []);
  assert.deepEqual(sources.of(vmta('six'), 4), []);
  assert.deepEqual(sources.of(vmta('elsewhere'), 4), [], 'a range of which this machine has no address');
  assert.deepEqual(sources.of(vmta('both'), 4), [{ address: '127.0.0.11', host: 'four.test' }]);
  assert.deepEqual(sources.of(vmta('both'), 6), [{ address: '2001:db8::1', host: 'six.test' }]);
});

test('a VMTA of another configuration brings its own addresses', () => {
  const sources = new SourceAddresses();
  sources.of(vmta('two'), 4);
  const next = good('<virtual-mta two>\nsmtp-source-host 127.0.0.13 three.test\n</virtual-mta>');
  assert.deepEqual(sources.of(next.vmtas.get('two')!, 4), [{ address: '127.0.0.13', host: 'three.test' }]);
});

test('whether a network is one address, in whatever form it is written', () => {
  const [first] = vmta('two').sourceHosts;
  const [six] = vmta('six').sourceHosts;
  assert.ok(isSingleAddress(first!.cidr, '127.0.0.11'));
  assert.ok(!isSingleAddress(first!.cidr, '127.0.0.12'));
  assert.ok(isSingleAddress(six!.cidr, '2001:db8:0:0::1'));
  assert.ok(!isSingleAddress(first!.cidr, 'nonsense'));
});
