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
  <virtual-mta none>
  </virtual-mta>`);
const vmta = (name: string) => config.vmtas.get(name)!;

test('D5.7: the addresses of a VMTA take turns, each with its own host name', () => {
  const sources = new SourceAddresses();
  const seen = [1, 2, 3].map(() => sources.next(vmta('two')));
  assert.deepEqual(seen, [
    { address: '127.0.0.11', host: 'one.test' },
    { address: '127.0.0.12', host: 'two.test' },
    { address: '127.0.0.11', host: 'one.test' },
  ]);
  assert.equal(sources.next(vmta('six'))?.address, '2001:db8::1');
});

test('without an address the operating system chooses', () => {
  assert.equal(new SourceAddresses().next(vmta('none')), null);
});

test('a VMTA of another configuration brings its own addresses', () => {
  const sources = new SourceAddresses();
  sources.next(vmta('two'));
  const next = good('<virtual-mta two>\nsmtp-source-host 127.0.0.13 three.test\n</virtual-mta>');
  assert.equal(sources.next(next.vmtas.get('two')!)?.address, '127.0.0.13');
});

test('whether a network is one address, in whatever form it is written', () => {
  const [first] = vmta('two').sourceHosts;
  const [six] = vmta('six').sourceHosts;
  assert.ok(isSingleAddress(first!.cidr, '127.0.0.11'));
  assert.ok(!isSingleAddress(first!.cidr, '127.0.0.12'));
  assert.ok(isSingleAddress(six!.cidr, '2001:db8:0:0::1'));
  assert.ok(!isSingleAddress(first!.cidr, 'nonsense'));
});
