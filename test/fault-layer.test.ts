// The disk that fails on command does fail on command: what the tests that stand on it prove depends on this.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { missing } from '../scripts/system-packages.ts';
import { type FaultLayer, faultLayer, randomFrom } from './fault-layer.ts';
import { temporaryFolder } from './program.ts';

const skip = missing('gcc');

/** A disk, and a program on it: a piece of script that has `fs` and `file`, and kills itself at its end. */
function disk(more: Record<string, string> = {}): {
  layer: FaultLayer;
  file: string;
  run(script: string): string;
} {
  const folder = temporaryFolder();
  const dir = path.join(folder, 'disk');
  mkdirSync(dir);
  const layer = faultLayer(dir, path.join(folder, 'control'), more);
  const file = path.join(dir, 'file');
  return {
    layer,
    file,
    run(script) {
      const program = `import fs from 'node:fs'; const file = ${JSON.stringify(file)};
        const tried = (what) => { try { what(); return 'done' } catch (error) { return error.code } };
        const say = (text) => fs.writeSync(1, text + '\\n');
        ${script}; process.kill(process.pid, 'SIGKILL'); while (true);`;
      const done = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
        env: { ...process.env, ...layer.env },
        encoding: 'utf8',
      });
      assert.equal(done.signal, 'SIGKILL', done.stderr);
      return done.stdout.trim();
    },
  };
}

test('a write that was not synced is lost in a power cut, one that was is not', { skip }, () => {
  const { layer, file, run } = disk({ FAULT_UNDO: '1' });
  run(`const handle = fs.openSync(file, 'w+');
    fs.writeSync(handle, 'A'.repeat(8192));
    fs.fdatasyncSync(handle);
    fs.writeSync(handle, 'B'.repeat(4096), 0);
    fs.writeSync(handle, 'C'.repeat(4096));
    fs.writeSync(handle, 'C'.repeat(4096), 0);`);
  const written = readFileSync(file, 'latin1');
  assert.equal(written, 'C'.repeat(4096) + 'A'.repeat(4096) + 'C'.repeat(4096));
  // Every page drawn to be dropped.
  assert.deepEqual(
    layer.cutPower(() => 0.5),
    { pages: 2, dropped: 2, torn: 0 },
  );
  assert.equal(readFileSync(file, 'latin1').slice(0, 8192), 'A'.repeat(8192));
  assert.equal(
    readFileSync(file)
      .subarray(8192)
      .every((octet) => octet === 0),
    true,
  );
});

test('a power cut keeps some pages, drops some and tears some by sectors', { skip }, () => {
  const { layer, file, run } = disk({ FAULT_UNDO: '1' });
  run(`const handle = fs.openSync(file, 'w+');
    fs.writeSync(handle, 'A'.repeat(4096 * 60));
    fs.fsyncSync(handle);
    fs.writeSync(handle, 'B'.repeat(4096 * 60), 0);`);
  const { pages, dropped, torn } = layer.cutPower(randomFrom(1));
  assert.equal(pages, 60);
  assert.ok(dropped > 5 && torn > 5 && pages - dropped - torn > 5, `${dropped} ${torn}`);
  const sectors = readFileSync(file, 'latin1').match(/[AB]{512}/g)!;
  assert.ok(sectors.every((sector) => /^(A+|B+)$/.test(sector)));
  const mixed = sectors
    .filter((_, i) => i % 8 === 0)
    .filter((_, i) => new Set(sectors.slice(i * 8, i * 8 + 8)).size > 1);
  assert.ok(mixed.length > 5 && mixed.length <= torn);
});

test('what is written through O_DSYNC is there after a power cut', { skip }, () => {
  const { layer, file, run } = disk({ FAULT_UNDO: '1' });
  run(`const handle = fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_DSYNC);
    fs.writeSync(handle, 'A'.repeat(5000));`);
  assert.equal(layer.cutPower(() => 0.5).pages, 0);
  assert.equal(readFileSync(file, 'latin1'), 'A'.repeat(5000));
});

test('after a sync that failed, a later one that succeeds has not saved what the first one lost', {
  skip,
}, () => {
  const { layer, file, run } = disk({ FAULT_UNDO: '1' });
  layer.switch('eio-sync-once', true);
  const said = run(`const handle = fs.openSync(file, 'w+');
    fs.writeSync(handle, 'A'.repeat(8192));
    say(tried(() => fs.fsyncSync(handle)));
    fs.writeSync(handle, 'B'.repeat(4096), 0);
    say(tried(() => fs.fsyncSync(handle)));`);
  assert.equal(said, 'EIO\ndone');
  assert.equal(layer.cutPower(() => 0.5).pages, 1);
  const left = readFileSync(file);
  assert.equal(left.toString('latin1', 0, 4096), 'B'.repeat(4096));
  assert.ok(left.subarray(4096).every((octet) => octet === 0));
});

test('a disk without space refuses writes while the switch is on, and after N bytes', { skip }, () => {
  const switched = disk();
  switched.layer.switch('enospc', true);
  const off = JSON.stringify(path.join(switched.layer.env.FAULT_CONTROL!, 'enospc'));
  const said = switched.run(`const handle = fs.openSync(file, 'w+');
    say(tried(() => fs.writeSync(handle, 'A')));
    say(tried(() => fs.writevSync(handle, [Buffer.from('A')], 0)));
    fs.rmSync(${off});
    say(tried(() => fs.writeSync(handle, 'B')));`);
  assert.equal(said, 'ENOSPC\nENOSPC\ndone');
  assert.equal(readFileSync(switched.file, 'latin1'), 'B');

  const small = disk({ FAULT_ENOSPC_AFTER: '10000' });
  const filled = small.run(`const handle = fs.openSync(file, 'w+');
    for (let i = 0; i < 4; i++) say(tried(() => fs.writeSync(handle, 'A'.repeat(4000))));`);
  assert.equal(filled, 'done\ndone\nENOSPC\nENOSPC');
});

test('files elsewhere are left alone', { skip }, () => {
  const { layer, run } = disk({ FAULT_UNDO: '1' });
  layer.switch('enospc', true);
  layer.switch('eio-sync', true);
  const elsewhere = JSON.stringify(path.join(temporaryFolder(), 'file'));
  const said = run(`const handle = fs.openSync(${elsewhere}, 'w+');
    say(tried(() => fs.writeSync(handle, 'A')));
    say(tried(() => fs.fsyncSync(handle)));`);
  assert.equal(said, 'done\ndone');
  assert.equal(layer.cutPower(() => 0.5).pages, 0);
});
