import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { run } from './program.ts';

const dir = mkdtempSync(path.join(tmpdir(), 'posthorn-check-'));
after(() => rmSync(dir, { recursive: true, force: true }));

const GOOD = `postmaster postmaster@mta.test\nlog-file ${dir}/log\nsmtp-listener 127.0.0.1:0\n<spool ${dir}/spool>\n</spool>\n`;

test('--check tells every error with its place and the nearest name, and starts nothing', async () => {
  const file = path.join(dir, 'bad');
  writeFileSync(file, `${GOOD}dk-sing yes\n<domain *>\nmax-smtp-out many\n</domain>\n`);
  const { code, stdout, stderr } = await run(['mta', '--check', file]);
  assert.equal(code, 1);
  assert.equal(stdout, '');
  assert.match(stderr, new RegExp(`line 6 of ${file}: .*dk-sing.*dk-sign`));
  assert.match(stderr, new RegExp(`line 8 of ${file}: max-smtp-out: "many".*column 14`));
});

test('the file may be named after --check, by --config or by PMTA_CONFIG', async () => {
  const file = path.join(dir, 'good');
  writeFileSync(file, GOOD);
  for (const [args, env] of [
    [['mta', '--check', file], {}],
    [['mta', '--config', file, '--check'], {}],
    [['mta', '--check'], { PMTA_CONFIG: file }],
    [['config', 'check'], { PMTA_CONFIG: file }],
  ] as const) {
    const { code, stderr } = await run(args, env);
    assert.equal(code, 0, stderr);
  }
  writeFileSync(file, `${GOOD}smtp-await-slot yes\n`);
  const without = await run(['mta', '--check', file]);
  assert.match(without.stderr, /without effect yet: smtp-await-slot;/);
  assert.equal((await run(['mta', file])).code, 2);
});
