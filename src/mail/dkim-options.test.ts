import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDkimOptions } from './dkim-options.ts';

const NONE = { selector: '', domain: '', identity: '', queryMethod: '', keyList: '' };

test('X-DKIM-Options: tag=value joined by ;, blanks and a trailing ; allowed, unknown tags passed over', () => {
  assert.deepEqual(parseDkimOptions(''), NONE);
  assert.deepEqual(parseDkimOptions(' ; ;'), NONE);
  assert.deepEqual(
    parseDkimOptions('s = k1 ;D=X.Example; i=u@M\u00fcller.example;q=dns/txt; key-list=Ring; new=1;'),
    {
      selector: 'k1',
      domain: 'x.example',
      identity: 'u@xn--mller-kva.example',
      queryMethod: 'dns/txt',
      keyList: 'Ring',
    },
  );
  assert.deepEqual(parseDkimOptions('i=x.example;d=*'), { ...NONE, identity: '@x.example', domain: '*' });
  assert.deepEqual(parseDkimOptions('i=a=b@x.example'), { ...NONE, identity: 'a=b@x.example' });
});

test('X-DKIM-Options that say nothing clear are refused with a reason fit for a log', () => {
  const reason = (value: string) => {
    const read = parseDkimOptions(value);
    assert.ok(typeof read === 'string', value);
    assert.match(read, /^[ -~]{1,120}$/);
    return read;
  };
  assert.match(reason('s'), /"s" is not tag=value/);
  assert.match(reason('s=a;S=b'), /s= stands twice/);
  assert.match(reason('s=a b'), /not a selector/);
  assert.match(reason('s=a\u0000\u2603'), /not a selector/);
  assert.match(reason('d=a b'), /not a domain/);
  assert.match(reason('d=[192.0.2.1]'), /not a domain/);
  assert.match(reason('i=u@'), /not an identity/);
  assert.match(reason('\u0000\u0007=\u2028'), /not tag=value/);
  assert.match(reason('x'.repeat(5000)), /longer than/);
  assert.match(reason(Array.from({ length: 60 }, (_, i) => `t${i}=1`).join(';')), /more than 50 tags/);
});
