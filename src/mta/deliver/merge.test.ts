// Mail merge at delivery: each recipient's message is put together, and only then changed and signed.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { dkimVerify } from 'mailauth/lib/dkim/verify.js';
import type { Envelope, StoredRecipient } from '../../spool/stored-message.ts';
import { folder, messageFacts } from '../testing.ts';
import { rendered, startRendering } from './rendered.testing.ts';

const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });

/** A template of these parts, numbered from 1, for these recipients. */
function template(
  parts: readonly string[],
  recipients: readonly (Partial<StoredRecipient> & { values?: Record<string, string> })[],
  expandUndefined = true,
): { envelope: Envelope; content: Buffer } {
  const stored: { number: number; start: number; end: number }[] = [];
  let length = 0;
  for (const [i, part] of parts.entries()) {
    stored.push({ number: i + 1, start: length, end: length + part.length });
    length += part.length;
  }
  return {
    content: Buffer.from(parts.join(''), 'latin1'),
    envelope: {
      facts: messageFacts(),
      recipients: recipients.map(({ values, ...more }, i) => ({
        address: `u${i}@a.test`,
        originalRecipient: '',
        messageId: `0000000000000000000${i}`,
        notify: [],
        merge: { values: Object.entries(values ?? {}), parts: null },
        ...more,
      })),
      eightBit: false,
      smtpUtf8: false,
      returnContent: '',
      removeHeaders: [],
      suppressReports: false,
      template: { head: 0, parts: stored, expandUndefined },
    },
  };
}

async function render(
  t: TestContext,
  config: string,
  { envelope, content }: { envelope: Envelope; content: Buffer },
) {
  const under = await startRendering(t, config);
  const rendering = await under.open(envelope, content);
  assert.equal(rendering.perRecipient, true);
  return Promise.all(
    envelope.recipients.map(async (_, i) => {
      const copy = await rendering.copy(i);
      return copy.kind === 'ready'
        ? rendered(copy.content, copy.facts)
        : assert.fail(`${copy.status} ${copy.text}`);
    }),
  );
}

const HEAD = 'From: [name] <[box]@brand.test>\r\nSubject: Hi [name]\r\n\r\n';

test('D17.6: substitution covers headers and body, at delivery, without any encoding', async (t) => {
  const [kim, lou] = await render(
    t,
    '',
    template(
      [`${HEAD}Dear [NAME],\r\n`],
      [{ values: { name: 'Kim', box: 'a' } }, { values: { name: 'L\u00f6u', box: 'b' } }],
    ),
  );
  assert.equal(
    kim!.content.toString('latin1'),
    'From: Kim <a@brand.test>\r\nSubject: Hi Kim\r\n\r\nDear Kim,\r\n',
  );
  assert.equal(
    lou!.content.toString('latin1'),
    'From: L\u00f6u <b@brand.test>\r\nSubject: Hi L\u00f6u\r\n\r\nDear L\u00f6u,\r\n',
    'one octet for each character of the value, as it came',
  );
});

test('D17.4, D17.5: [[ is [, a lone ] stays; an undefined variable is empty, or unchanged text', async (t) => {
  const text = `From: a@brand.test\r\n\r\nbox [[] and ] Hi [nn]!\r\n`;
  const [empty] = await render(t, '', template([text], [{}]));
  assert.match(empty!.content.toString(), /\r\n\r\nbox \[\] and \] Hi !\r\n$/);
  const [kept] = await render(t, '', template([text], [{}], false));
  assert.match(kept!.content.toString(), /\r\n\r\nbox \[\] and \] Hi \[nn\]!\r\n$/);
});

test('D17.7: parts in the order of the recipient’s list, all of them ascending without one', async (t) => {
  const parts = ['From: a@brand.test\r\n\r\n1\r\n', '2\r\n', '3\r\n'];
  const bodies = await render(
    t,
    '',
    template(parts, [
      { merge: { values: [], parts: [1, 3, 2] } },
      { merge: { values: [], parts: null } },
      { merge: { values: [], parts: [1] } },
    ]),
  );
  assert.deepEqual(
    bodies.map(({ content }) => content.toString().split('\r\n\r\n')[1]),
    ['1\r\n3\r\n2\r\n', '1\r\n2\r\n3\r\n', '1\r\n'],
  );
});

test('D17.8: a number in *parts without a part: nothing can be made for this recipient, others go', async (t) => {
  const under = await startRendering(t, '');
  const { envelope, content } = template(
    ['From: a@brand.test\r\n\r\n1\r\n'],
    [{ merge: { values: [], parts: [1, 2] } }, {}],
  );
  const rendering = await under.open(envelope, content);
  const copy = await rendering.copy(0);
  assert.ok(copy.kind === 'impossible');
  assert.match(copy.status, /^5\./);
  assert.equal((await rendering.copy(1)).kind, 'ready');
});

test('D17.10: each recipient’s copy is signed for itself, after the merge, and has facts of its own', async (t) => {
  const key = path.join(folder(t), 'key.pem');
  writeFileSync(key, privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const given = template(
    [`X-Gone: [name]\r\n${HEAD}Dear [name],\r\n`],
    [
      { values: { name: 'Kim', box: 'a' }, own: { sender: 'bounce-kim@brand.test', jobId: 'jk' } },
      { values: { name: 'Lou', box: 'b' } },
    ],
  );
  const copies = await render(
    t,
    `domain-key sel, brand.test, ${key}
    <domain *>
      dkim-sign yes
      remove-header X-Gone
      add-x-msys-api-header yes
    </domain>`,
    given,
  );
  const p = publicKey.export({ type: 'spki', format: 'der' }).toString('base64');
  for (const { content, header, signatures } of copies) {
    assert.equal(header.get('x-gone'), null);
    assert.equal(signatures.length, 1);
    const { results } = await dkimVerify(content, {
      minBitLength: 1024,
      resolver: (async () => [[`v=DKIM1; p=${p}`]]) as never,
    });
    assert.deepEqual(
      results.map(({ status }) => status.result),
      ['pass'],
    );
  }
  assert.deepEqual(
    copies.map(({ signatures }) => signatures[0]!.get('i')),
    ['a@brand.test', 'b@brand.test'],
  );
  assert.deepEqual(
    copies.map(({ facts }) => [facts.sender, facts.jobId]),
    [
      ['bounce-kim@brand.test', 'jk'],
      ['news@brand.test', ''],
    ],
  );
  assert.match(copies[0]!.header.get('x-msys-api')!, /"campaign_id":"jk"/);
});

test('add-date-header never acts on mail merge', async (t) => {
  const given = template([`${HEAD}x\r\n`], [{}]);
  const envelope: Envelope = { ...given.envelope, dateAtDelivery: 'override' };
  const [copy] = await render(t, '', { ...given, envelope });
  assert.equal(copy!.header.get('date'), null);
});

test('X-DKIM-Options of a template is read after the merge', async (t) => {
  const key = path.join(folder(t), 'key.pem');
  writeFileSync(key, privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const given = template(
    [`X-DKIM-Options: s=[sel]\r\n${HEAD}x\r\n`],
    [{ values: { sel: 'k2', box: 'a' } }, { values: { sel: 'k1', box: 'a' } }],
  );
  const envelope: Envelope = { ...given.envelope, dkimOptions: 's=[sel]' };
  const copies = await render(
    t,
    `domain-key k1, brand.test, ${key}
    domain-key k2, brand.test, ${key}
    <domain *>
      dkim-sign yes
    </domain>`,
    { ...given, envelope },
  );
  assert.deepEqual(
    copies.map(({ signatures }) => signatures[0]!.get('s')),
    ['k2', 'k1'],
  );
});
