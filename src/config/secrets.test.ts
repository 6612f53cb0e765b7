import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withoutSecrets } from './secrets.ts';
import { load } from './testing.ts';

test('passwords and keys are blotted out however the line is written; everything else stays', () => {
  const key = 'k'.repeat(32);
  const text = (secret: string, its: string) => `# password old
http-api-key ${its}
<smtp-user ana>
\tPassWord   ${secret}  # hint
    source {a}
</smtp-user>
<source {a}>
</source>
<domain *>
    auth-password "${secret}"
    max-smtp-out 5
</domain>
`;
  assert.ok(load(text('s3cret', key)).config, 'it is a configuration');
  const shown = withoutSecrets(text('s3cret', key));
  assert.doesNotMatch(shown, /s3cret|kkk|hint|old/);
  assert.match(shown, /^# password \*{8}$/m);
  assert.match(shown, /^\tPassWord {3}\*{8}$/m);
  assert.match(shown, /^ {4}max-smtp-out 5$/m);
  assert.equal(shown.split('\n').length, text('', '').split('\n').length);
  assert.equal(withoutSecrets('password x\r\nhost-name a\r\n'), 'password ********\r\nhost-name a\r\n');
});
