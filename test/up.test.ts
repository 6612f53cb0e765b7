import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { freePorts, Program, temporaryFolder, until } from './program.ts';

interface Reconciliation {
  balances: boolean;
  lines: {
    name: string;
    balances: boolean;
    left: { count: number };
    right: { count: number };
    repeated?: { count: number };
  }[];
}

/** Starts `posthorn up --exit` and answers the table when it has ended. */
async function upToTheEnd(
  messages: number,
  meanwhile: (up: Program, dataDir: string) => Promise<void> = async () => {},
): Promise<{ code: number | null; table: Reconciliation; output: string }> {
  const dataDir = temporaryFolder();
  const base = await freePorts(8);
  const up = new Program([
    'up',
    ...['--data', dataDir, '--port-base', String(base), '--messages', String(messages)],
    ...['--exit', '--json', '--rate', '150', '--within', '600'],
  ]);
  try {
    await meanwhile(up, dataDir);
  } catch (error) {
    await up.stop();
    throw new Error(`${(error as Error).message}\n${up.stdout}\n${up.stderr}`, { cause: error });
  }
  const { code, stdout, stderr } = await up.finished;
  const lines = stdout.trim().split('\n');
  const last = lines.at(-1) ?? '';
  assert.ok(
    last.startsWith('{"reconciliation"'),
    `no table at the end: ${lines.slice(-5).join('\n')}\n${stderr}`,
  );
  return {
    code,
    table: (JSON.parse(last) as { reconciliation: Reconciliation }).reconciliation,
    output: stdout,
  };
}

function line(table: Reconciliation, name: string) {
  const found = table.lines.find((candidate) => candidate.name.startsWith(name));
  assert.ok(found, `no line "${name}" in ${table.lines.map((l) => l.name).join('; ')}`);
  return found;
}

const off = (table: Reconciliation) =>
  JSON.stringify(
    table.lines.filter((l) => !l.balances),
    null,
    1,
  );

/** Kills one of the programs five times while mail is flowing. */
async function killFiveTimes(name: string, dataDir: string, up: Program): Promise<number> {
  let kills = 0;
  const pid = () => {
    try {
      const { pids } = JSON.parse(readFileSync(path.join(dataDir, 'up.json'), 'utf8')) as {
        pids: Record<string, number>;
      };
      return pids[name];
    } catch {
      return undefined;
    }
  };
  await until(() => /"counts":\{"submitted":[1-9]/.test(up.stdout));
  let last: number | undefined;
  while (kills < 5) {
    const before = last;
    await until(() => {
      last = pid() ?? before;
      return last !== before;
    });
    // Long enough to be at work again, at moments that differ from round to round.
    await new Promise((resolve) => setTimeout(resolve, 700 + kills * 137));
    process.kill(last!, 'SIGKILL');
    kills++;
  }
  return kills;
}

test('every line of the table balances after a run', async () => {
  const { code, table } = await upToTheEnd(400);
  assert.equal(code, 0, off(table));
  assert.ok(table.balances);
  // The run has something to say on every line, or the table would balance by being empty.
  for (const name of [
    'submitted',
    'accepted',
    'delivered',
    'received',
    'bounced',
    'deferred',
    'opens',
    'clicks',
  ]) {
    assert.ok(line(table, name).left.count > 0, `nothing happened on the line "${name}"`);
  }
  for (const { name, repeated } of table.lines)
    assert.equal(repeated?.count ?? 0, 0, `${name}: repeated without a kill`);
});

for (const name of ['mta', 'signals']) {
  test(`${name} killed five times: nothing acknowledged is lost, and what is repeated is counted`, async () => {
    let kills = 0;
    const { code, table, output } = await upToTheEnd(1500, async (up, dataDir) => {
      kills = await killFiveTimes(name, dataDir, up);
    });
    assert.equal(kills, 5);
    assert.match(output, new RegExp(`${name} was killed \\(SIGKILL\\)`));
    assert.equal(code, 0, off(table));
    assert.ok(table.balances, off(table));
  });
}
