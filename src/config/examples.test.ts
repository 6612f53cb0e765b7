import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { formatDiagnostic, loadConfig, printFile, startProblems } from './index.ts';

const folder = fileURLToPath(new URL('../../examples', import.meta.url));

/** The demo's file has places for what `posthorn up` chooses. */
function readFilled(file: string): string {
  return readFileSync(file, 'utf8').replace(/@([A-Z_]+)@/g, (_, name: string) => {
    if (name.endsWith('_PORT')) return '7700';
    return name === 'API_KEY' ? '0123456789'.repeat(4) : '/x';
  });
}

const files = readdirSync(folder)
  .map((name) => path.join(folder, name, 'pmta.conf'))
  .filter((file) => existsSync(file));

test('every example loads, and without a warning except for files of other machines', () => {
  assert.ok(files.length >= 4);
  for (const file of files) {
    const loaded = loadConfig(file, { missingFiles: 'warn', readFile: readFilled });
    assert.deepEqual(
      loaded.diagnostics
        .filter((d) => d.severity === 'error' || !/there is no file|old directive/.test(d.message))
        .map(formatDiagnostic),
      [],
      file,
    );
    assert.deepEqual(startProblems(loaded.config!), []);
    assert.ok(printFile(loaded, file).length > 0);
  }
});

test('the examples mean what they say', () => {
  const at = (name: string) =>
    loadConfig(path.join(folder, name, 'pmta.conf'), { missingFiles: 'warn' }).config!;
  const pool = at('relay-pool');
  const slots = pool.pools.get('outgoing')!.members;
  assert.equal(slots.filter((m) => m === 'own').length, 9);
  assert.equal(pool.queue('a.example', 'relayed').get('queue-to'), '{sparkpost}');
  assert.equal(pool.queue('sender.example', 'relayed').get('queue-to'), null);
  const big = at('big-sender');
  assert.equal(big.queue('outlook.co.uk', 'bulk1').get('smtp-pattern-list'), 'microsoft');
  assert.equal(big.queue('yahoo.fr', 'bulk1').get('backoff-max-smtp-out'), 2);
  assert.equal(big.vmtas.get('bulk2')!.settings.get('max-smtp-out'), 800);
  assert.deepEqual(at('signals-demo').signalsDecision('receipts', 'demo.example'), {
    send: true,
    subaccount: 2,
  });
  assert.ok(at('cloud-host').bounceProcessor!.matches('b-1@bounces.cloud.example'));
});
