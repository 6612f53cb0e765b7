import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dateHeader, editHeaders, Header, headerField, messageId } from './header.ts';
import { decodeWords, firstAddress } from './header-text.ts';

const mail = Buffer.from(
  'Received: from a by b;\r\n\tFri, 1 Jan 2027 00:00:00 +0000\r\n' +
    'received: second\r\n' +
    'From: "Kim" <kim@b.example>\r\n' +
    'SUBJECT :  Hello\r\n   there \r\n' +
    'this line is damaged\r\n' +
    'X-Empty:\r\n' +
    'X-Dup: 1\r\nx-dup: 2\r\n' +
    '\r\n' +
    'Subject: not a header\r\n',
);

test('fields with offsets, values unfolded, damage kept apart', () => {
  const header = new Header(mail);
  assert.deepEqual(
    header.fields.map((f) => f.name),
    ['Received', 'received', 'From', 'SUBJECT', '', 'X-Empty', 'X-Dup', 'x-dup'],
  );
  assert.equal(header.get('subject'), 'Hello there');
  assert.equal(header.get('x-empty'), '');
  assert.equal(header.get('absent'), null);
  assert.deepEqual(
    header.all('X-DUP').map((f) => header.value(f)),
    ['1', '2'],
  );
  assert.equal(header.rawValue(header.fields[3]!).toString(), '  Hello\r\n   there ');
  assert.equal(mail.subarray(header.bodyStart).toString(), 'Subject: not a header\r\n');
  assert.equal(
    Buffer.concat(header.fields.map((f) => mail.subarray(f.start, f.end))).toString(),
    mail.subarray(0, header.end).toString(),
    'the fields are the block, octet for octet',
  );
});

test('odd header blocks', () => {
  assert.equal(new Header(Buffer.from('\r\nbody')).bodyStart, 2);
  assert.equal(new Header(Buffer.from('\nbody')).bodyStart, 1);
  assert.equal(new Header(Buffer.alloc(0)).bodyStart, 0);
  const lf = new Header(Buffer.from('A: 1\nB: 2\n\nbody'));
  assert.equal(lf.get('b'), '2');
  assert.equal(lf.bodyStart, 11);
  assert.equal(new Header(Buffer.from('A: 1')).get('a'), '1');
  assert.equal(new Header(Buffer.from('A: 1\rB: 2\r\n\r\n')).fields.length, 1, 'a bare CR ends no line');
  assert.equal(
    new Header(Buffer.from(': x\r\n a: y\r\nn\u0000: z\r\n\r\n')).fields.every((f) => f.name === ''),
    true,
  );
  assert.equal(new Header(Buffer.from('X: caf\u00e9\r\n\r\n', 'latin1')).get('x'), 'café');
  assert.equal(new Header(Buffer.from('X: café\r\n\r\n')).get('x'), 'café');
  assert.equal(new Header(Buffer.from('__proto__: 1\r\nconstructor: 2\r\n\r\n')).get('__proto__'), '1');
  const limited = new Header(Buffer.from('A: 1\r\nB: 2\r\n\r\n'), 0, 6);
  assert.equal(limited.fields.length, 1);
});

test('hostile header blocks cost one pass and a bounded list', () => {
  const many = new Header(Buffer.from('a:\n'.repeat(300_000)));
  assert.equal(many.fields.length, 10_000);
  assert.equal(many.truncated, true);
  assert.equal(many.end, 900_000);
  const folded = new Header(Buffer.from(`X: a${'\r\n b'.repeat(300_000)}\r\n\r\n`));
  assert.equal(folded.fields.length, 1);
  assert.ok(folded.get('x')!.length <= 65_536);
  assert.equal(new Header(Buffer.from(`${'x'.repeat(1e6)}: 1\r\n\r\n`)).fields[0]!.name, '');
});

test('edits keep every other octet', () => {
  const text = mail.toString();
  const edited = editHeaders(mail, {
    prepend: ['Received: ours\r\n', 'X-Top: 1'],
    insertAfterReceived: ['X-Site: a'],
    append: ['X-Last: z\r\n'],
    remove: ['x-DUP', 'X-Nowhere'],
  }).toString();
  assert.equal(
    edited,
    `Received: ours\r\nX-Top: 1\r\nX-Site: a\r\n${text.replace(
      'X-Dup: 1\r\nx-dup: 2\r\n\r\n',
      'X-Last: z\r\n\r\n',
    )}`,
  );
  assert.equal(editHeaders(mail, {}), mail, 'nothing to do copies nothing');
  assert.ok(editHeaders(mail, { remove: ['nowhere'] }).equals(mail));
});

test('insertAfterReceived without a prepended field follows the topmost Received, else leads', () => {
  const after = editHeaders(mail, { insertAfterReceived: ['X-A: 1'] }).toString();
  assert.ok(after.includes('+0000\r\nX-A: 1\r\nreceived: second'));
  assert.equal(
    editHeaders(Buffer.from('A: 1\r\n\r\nb'), { insertAfterReceived: ['X: 1'] }).toString(),
    'X: 1\r\nA: 1\r\n\r\nb',
  );
});

test('edits of odd messages', () => {
  const edit = (text: string, edits: Parameters<typeof editHeaders>[1]) =>
    editHeaders(Buffer.from(text), edits).toString();
  assert.equal(edit('', { prepend: ['A: 1'] }), 'A: 1\r\n');
  assert.equal(edit('\r\nbody', { append: ['A: 1'] }), 'A: 1\r\n\r\nbody');
  assert.equal(edit('B: 2', { append: ['A: 1'] }), 'B: 2\r\nA: 1\r\n');
  assert.equal(edit('B: 2\n\nbody', { prepend: ['A: 1\r\n\tfolded\r\n'] }), 'A: 1\n\tfolded\nB: 2\n\nbody');
  assert.equal(
    edit('B: 2\r\n\r\n', { prepend: ['A: 1\r\n\r\nEvil: 2'] }),
    'A: 1\r\n Evil: 2\r\nB: 2\r\n\r\n',
  );
  assert.equal(edit('B: 1\r\n\tx\r\nC: 2\r\n\r\n', { remove: ['b'] }), 'C: 2\r\n\r\n');
});

test('fields past the listed ones are removed too', () => {
  const raw = Buffer.from(`${'a: 1\r\n'.repeat(20_000)}X-Secret: s\r\n\r\n`);
  assert.equal(editHeaders(raw, { remove: ['x-secret'] }).includes('secret', 0, 'latin1'), false);
});

test('our own fields are folded and cannot add another', () => {
  assert.equal(headerField('X', 'a\r\nBcc: b\u0000c'), 'X: a Bcc: b c\r\n');
  const long = headerField(
    'List-Unsubscribe',
    `<https://t.example/u/${'x'.repeat(90)}>, <mailto:u@t.example>`,
  );
  assert.ok(long.split('\r\n').length > 2);
  const header = new Header(Buffer.from(`${long}\r\n`));
  assert.equal(
    header.get('list-unsubscribe'),
    `<https://t.example/u/${'x'.repeat(90)}>, <mailto:u@t.example>`,
  );
});

test('dates and message ids', () => {
  const text = dateHeader(1_800_000_000_000);
  assert.match(text, /^[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} 2027 \d\d:\d\d:\d\d [+-]\d{4}$/);
  assert.equal(Date.parse(text), 1_800_000_000_000);
  assert.equal(messageId('a b<c', 'mx.b.example'), '<a.b.c@mx.b.example>');
});

test('encoded words', () => {
  for (const [text, want] of [
    ['=?utf-8?Q?Gr=C3=BC=C3=9Fe_an_alle?=', 'Grüße an alle'],
    ['=?UTF-8?B?R3LDvMOfZQ==?= plain', 'Grüße plain'],
    ['=?utf-8?Q?Gr=C3?=\r\n =?utf-8?Q?=BC=C3=9Fe?=', 'Grüße'],
    ['=?iso-8859-1?q?caf=E9?= =?utf-8?q?_=E2=82=AC?=', 'café €'],
    ['=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=', '日本'],
    ['=?utf-8*de?Q?a?=', 'a'],
    ['=?x-unknown?Q?a?=', '=?x-unknown?Q?a?='],
    ['=?utf-8?Q?a', '=?utf-8?Q?a'],
    ['a =?utf-8?Q?=0D=0Ab?=', 'a  b'],
    ['plain', 'plain'],
  ] as const) {
    assert.equal(decodeWords(text), want);
  }
  assert.equal(decodeWords('x'.repeat(2000)).length, 998);
  assert.equal(decodeWords('😀'.repeat(10), 5), '😀😀');
  assert.ok(decodeWords('=?utf-8?Q?'.repeat(100_000)).length <= 998);
  assert.ok(decodeWords('=?a?b?'.repeat(100_000)).length <= 998);
});

test('the first address of a field', () => {
  for (const [text, name, address] of [
    ['kim@b.example', '', 'kim@b.example'],
    ['Kim Smith <kim@b.example>', 'Kim Smith', 'kim@b.example'],
    ['"Smith, Kim (x) <y>" <kim@b.example>, other@c.example', 'Smith, Kim (x) <y>', 'kim@b.example'],
    ['=?utf-8?Q?J=C3=B6rg?= <j@b.example>', 'Jörg', 'j@b.example'],
    ['kim@b.example (Kim)', 'Kim', 'kim@b.example'],
    ['Team: kim@b.example, x@c.example;', '', 'kim@b.example'],
    ['(hi) <@relay.example:kim@b.example>', '', 'kim@b.example'],
    ['"k m"@b.example', '', '"k m"@b.example'],
    ['broken <nothing>, Kim <kim@b.example>', 'Kim', 'kim@b.example'],
    ['<kim@grün.example>', '', 'kim@grün.example'],
  ] as const) {
    assert.deepEqual(firstAddress(text), { name, address }, text);
  }
  for (const none of ['', 'undisclosed-recipients:;', 'Kim', '<>', '<kim', '"', '(', '('.repeat(1e6)]) {
    assert.equal(firstAddress(none), null);
  }
});
