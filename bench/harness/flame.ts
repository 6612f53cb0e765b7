/**
 * A flame graph from a `.cpuprofile` (V8's format, what `--cpu-prof` of Node writes): one SVG that any browser shows, each frame
 * as wide as its share of the time, callers below what they call; a frame's title tells function, file, line, share.
 *
 *   node bench/harness/flame.ts FILE.cpuprofile [OUT.svg]
 */
import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

interface ProfileNode {
  readonly id: number;
  readonly callFrame: { functionName: string; url: string; lineNumber: number };
  readonly children?: readonly number[];
}

interface Profile {
  readonly nodes: readonly ProfileNode[];
  readonly samples: readonly number[];
  /** Microseconds between the samples. */
  readonly timeDeltas: readonly number[];
}

/** Calls of one function from one place, with all that they call. */
interface Frame {
  readonly name: string;
  readonly place: string;
  /** Microseconds, itself and all that it called. */
  total: number;
  readonly calls: Map<string, Frame>;
}

const WIDTH = 1600;
const ROW = 17;
/** Narrower frames show nothing to an eye. */
const LEAST_PIXELS = 0.4;
const idle = new Set(['(idle)', '(root)']);

export function flameGraph(profile: Profile): string {
  const byId = new Map(profile.nodes.map((node) => [node.id, node]));
  const parent = new Map<number, number>();
  for (const node of profile.nodes) for (const child of node.children ?? []) parent.set(child, node.id);
  const root: Frame = { name: 'all', place: '', total: 0, calls: new Map() };
  for (const [i, id] of profile.samples.entries()) {
    const stack: ProfileNode[] = [];
    for (let at: number | undefined = id; at !== undefined; at = parent.get(at)) stack.push(byId.get(at)!);
    if (stack[0]!.callFrame.functionName === '(idle)') continue;
    const time = profile.timeDeltas[i]!;
    let frame = root;
    root.total += time;
    for (const { callFrame } of stack.reverse()) {
      if (idle.has(callFrame.functionName)) continue;
      const name = callFrame.functionName || '(anonymous)';
      const place = callFrame.url === '' ? '' : `${callFrame.url}:${callFrame.lineNumber + 1}`;
      const key = `${name} ${place}`;
      let called = frame.calls.get(key);
      if (!called) {
        called = { name, place, total: 0, calls: new Map() };
        frame.calls.set(key, called);
      }
      called.total += time;
      frame = called;
    }
  }
  return draw(root);
}

/** A flame graph beside each profile below a folder that has none yet; answers how many were drawn. */
export function drawAll(folder: string): number {
  let drawn = 0;
  for (const file of globSync('**/*.cpuprofile', { cwd: folder })) {
    const profile = path.join(folder, file);
    if (existsSync(`${profile}.svg`)) continue;
    try {
      writeFileSync(`${profile}.svg`, flameGraph(JSON.parse(readFileSync(profile, 'utf8'))));
      drawn++;
    } catch (error) {
      // Of a process that was killed while it wrote.
      process.stderr.write(`${profile} is no whole profile: ${(error as Error).message}\n`);
    }
  }
  return drawn;
}

/**
 * The environment of a process that takes part, so that its profiles, if any are made, lie in a folder of its name;
 * null is for helpers that nobody wants to see.
 */
export function profiledAs(name: string | null): NodeJS.ProcessEnv {
  const profiling = / ?--cpu-prof --cpu-prof-dir="((?:[^"\\]|\\.)*)"/;
  const options = process.env.NODE_OPTIONS?.replace(profiling, (all) =>
    name === null ? '' : `${all.slice(0, -1)}/${name}"`,
  );
  return { ...process.env, ...(options !== undefined && { NODE_OPTIONS: options }) };
}

function draw(root: Frame): string {
  const boxes: string[] = [];
  let deepest = 0;
  const place = (frame: Frame, x: number, depth: number) => {
    const width = (frame.total / root.total) * WIDTH;
    if (width < LEAST_PIXELS) return;
    deepest = Math.max(deepest, depth);
    const share = ((frame.total / root.total) * 100).toFixed(1);
    const title = escaped(`${frame.name} ${frame.place} ${share} %`);
    const text = width > 40 ? escaped(frame.name.slice(0, Math.floor(width / 7))) : '';
    boxes.push(
      `<g><title>${title}</title><rect x="${x.toFixed(1)}" y="${-(depth + 1) * ROW}" width="${width.toFixed(1)}" height="${ROW - 1}" fill="${colour(frame)}"/>` +
        `<text x="${(x + 3).toFixed(1)}" y="${-depth * ROW - 5}">${text}</text></g>`,
    );
    let at = x;
    for (const called of [...frame.calls.values()].sort((a, b) => b.total - a.total)) {
      place(called, at, depth + 1);
      at += (called.total / root.total) * WIDTH;
    }
  };
  place(root, 0, 0);
  const height = (deepest + 2) * ROW;
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 ${-height} ${WIDTH} ${height}" width="${WIDTH}" height="${height}" ` +
    `font-family="monospace" font-size="11">\n<rect x="0" y="${-height}" width="${WIDTH}" height="${height}" fill="#fffdf7"/>\n` +
    `${boxes.join('\n')}\n</svg>\n`
  );
}

/** Our own code, what comes from packages, Node's own, and the engine (garbage collection, native calls) apart. */
function colour({ place }: Frame): string {
  if (place.includes('node_modules')) return '#e8c468';
  if (place.startsWith('node:')) return '#a8c686';
  return place === '' ? '#c9c9c9' : '#e98b6a';
}

function escaped(text: string): string {
  return text.replace(/[<>&"]/g, (c) => `&#${c.charCodeAt(0)};`);
}

if (process.argv[1] === import.meta.filename) {
  const [file, out = `${process.argv[2]}.svg`] = process.argv.slice(2);
  if (file === undefined) {
    process.stderr.write('usage: node bench/harness/flame.ts FILE.cpuprofile [OUT.svg]\n');
    process.exit(2);
  }
  writeFileSync(out, flameGraph(JSON.parse(readFileSync(file, 'utf8'))));
  process.stdout.write(`${out}\n`);
}
