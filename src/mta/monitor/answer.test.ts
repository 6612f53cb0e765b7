import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Kb, printFailure, printSuccess } from './answer.ts';

const TREE = {
  title: 'a "b" \\ <c> & d',
  kb: new Kb(5632),
  none: new Kb(0),
  yes: true,
  no: false,
  empty: '',
  queue: [
    { name: 'x', event: [{ text: 'one\r\ntwo' }, { text: '' }] },
    { name: 'y', event: [] },
  ],
};

test('JSON: one line, figures unquoted, kb without a trailing .0, booleans as such', () => {
  assert.equal(
    printSuccess({ kb: new Kb(0), more: new Kb(5632), ok: true, serial: '0', n: 3 }, 'json'),
    '{"data":{"kb":0,"more":5.5,"ok":true,"serial":"0","n":3},"status":"success","message":""}\n',
  );
  assert.equal(printFailure('no "x"', 'json'), '{"data":{},"status":"fail","message":"no \\"x\\""}\n');
});

test('XML: one line, kb with one decimal, booleans as 0 and 1, lists repeat their element', () => {
  assert.equal(
    printSuccess(TREE, 'xml'),
    '<rsp><data><title>a &quot;b&quot; \\ &lt;c&gt; &amp; d</title><kb>5.5</kb><none>0.0</none><yes>1</yes><no>0</no>' +
      '<empty/><queue><name>x</name><event><text>one\r\ntwo</text></event><event><text/></event></queue>' +
      '<queue><name>y</name></queue></data><succ/></rsp>\n',
  );
  assert.equal(
    printSuccess('', 'xml', 'Done & so.'),
    '<rsp><data></data><succ>Done &amp; so.</succ></rsp>\n',
  );
  assert.equal(printFailure('a<b', 'xml'), '<rsp><fail>a&lt;b</fail></rsp>\n');
});

test('characters that XML forbids do not break it', () => {
  assert.ok(!/[\u0000-\u0008\u000b\uffff]/.test(printSuccess({ x: '\u0000\u0008\u000b\uffff' }, 'xml')));
});

test('DOM: a path and a quoted value a line, repeated elements with an index even when there is one', () => {
  assert.equal(
    printSuccess(TREE, 'dom'),
    [
      'title="a \\"b\\" \\\\ <c> & d"',
      'kb="5.5"',
      'none="0.0"',
      'yes="1"',
      'no="0"',
      'empty=""',
      'queue[0].name="x"',
      'queue[0].event[0].text="one two"',
      'queue[0].event[1].text=""',
      'queue[1].name="y"',
      '',
    ].join('\n'),
  );
});
