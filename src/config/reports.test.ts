import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { effectReport, explain, formatEffect, formatExplanation, printFile, printResolved } from './index.ts';
import { completionData, coverage, referencePage } from './reference.ts';
import { good, load, MAIN } from './testing.ts';

const TEXT = `log-file /l # where
spool /s
<domain *>
    max-smtp-out 5
    retry-after 5m, 10m
</domain>
<virtual-mta v>
    <domain a.example>
        max-smtp-out 2
        max-msg-rate 90/5m
        auth-password hidden
    </domain>
</virtual-mta>
<source 0/0>
    process-x-virtual-mta yes
</source>
<source 10/8>
    process-x-virtual-mta no
    remove-header x-a,x-b
</source>
`;

test('explain tells every value, where it was set and what it overrode', () => {
  const [vmta, queue] = explain(good(TEXT), { vmta: 'v', domain: 'a.example' });
  assert.equal(vmta!.title, 'VMTA v');
  const of = (name: string) => queue!.values.find((v) => v.directive === name)!;
  assert.deepEqual(of('max-smtp-out'), {
    directive: 'max-smtp-out',
    value: '2',
    origin: { file: MAIN, line: 9 },
    block: '<domain a.example>',
    overrode: [{ value: '5', origin: { file: MAIN, line: 4 }, block: '<domain *>' }],
  });
  assert.equal(of('retry-after').value, '5m,10m');
  assert.equal(of('max-msg-rate').value, '90/5m');
  assert.equal(of('bounce-after').value, '4d12h');
  assert.equal(of('bounce-after').origin, null);
  assert.equal(of('auth-password').value, '********');
  const text = formatExplanation(queue!, { defaults: false });
  assert.match(text, /max-smtp-out 2 {4}# \/etc\/pmta\/config:9 <domain a\.example>\n {6}overrode 5/);
  assert.doesNotMatch(text, /hidden|bounce-after/);
  const [source] = explain(good(TEXT), { source: '10.1.1.1' });
  const process = source!.values.find((v) => v.directive === 'process-x-virtual-mta')!;
  assert.deepEqual([process.value, process.overrode.length], ['no', 1]);
});

test('effect tells of every directive what it does here', () => {
  const report = effectReport(load(`${TEXT}dk-sing yes\nbogus-thing 1\n`, {}));
  assert.equal(report.lines.length, 12);
  const unknown = report.lines.filter((l) => l.effect === 'unknown');
  assert.deepEqual(
    unknown.map((l) => [l.directive, l.line]),
    [
      ['dk-sing', 21],
      ['bogus-thing', 22],
    ],
  );
  assert.equal(
    Object.values(report.counts).reduce((a, b) => a + b),
    report.lines.length,
  );
  assert.match(formatEffect(report), /\/etc\/pmta\/config:1: log-file: /);
});

test('print gives the file back to the byte, and resolved as one that means the same', () => {
  const main = `\ufeff# top\r\n${TEXT}include more.conf\n<pattern-list l>\n mail-from /x/ <pattern-list>\n * recipient-priority=3\n </pattern-list>\n</pattern-list>\nmx-connection-limit *.mx.example 4\n<bounce-category-patterns>\n/a b/ other\n</bounce-category-patterns>\n<acct-file "|/x > y">\n</acct-file>\n`;
  const more = 'host-id 3\nhost-id 4\n<domain *>\nmax-smtp-out 6\nroute [192.0.2.1]\n</domain>\n';
  const loaded = load(main, { '/etc/pmta/more.conf': more });
  assert.equal(printFile(loaded, MAIN), main);
  const resolved = printResolved(loaded);
  assert.doesNotMatch(resolved, /include|host-id 3|route|spamhaus/);
  const again = load(resolved);
  assert.deepEqual(
    again.diagnostics.filter((d) => d.severity === 'error'),
    [],
  );
  const values = (config: NonNullable<typeof again.config>) =>
    [
      ...explain(config, { vmta: 'v', domain: 'a.example', source: '10.0.0.1' }),
      ...explain(config, { domain: 'b.example' }),
    ]
      .flatMap((e) => e.values)
      .map((v) => `${v.directive} ${v.value}`);
  assert.deepEqual(values(again.config!), values(loaded.config!));
  assert.equal(again.config!.acctFiles[0]!.target, '|/x > y');
  assert.equal(again.config!.patternLists.get('l')!.rules[0]!.nested!.length, 1);
  assert.equal(printResolved(again), resolved);
});

test('docs/reference/directives.md is made from the declarations and current', () => {
  const page = readFileSync(new URL('../../docs/reference/directives.md', import.meta.url), 'utf8');
  assert.ok(page === referencePage(), 'run node_modules/.bin/node src/config/write-reference.ts');
});

test('completion knows the words of every scope', () => {
  const data = completionData();
  assert.deepEqual(data.domain!.directives.type, ['smtp', 'pipe', 'file', 'discard', 'http-delivery']);
  assert.ok(data.global!.tags.includes('virtual-mta'));
  const all = coverage().find((c) => c.tier === 'all')!;
  assert.equal(all.honoured + all.differently + all.without, all.declared);
  assert.ok(all.declared >= 368);
});
