import path from 'node:path';
import { Block } from './block.ts';
import { Fault, type Findings, type Origin } from './diagnostic.ts';
import { directive } from './directives/index.ts';
import type { Disk } from './disk.ts';
import { AddressList, fillAddressList, withOrigin } from './lists.ts';
import type { BodyPatternFile, Listener, Processor, Spool } from './parts.ts';
import { compileExtractor } from './pattern/extract.ts';
import { LayeredSettings } from './settings.ts';
import { type ListenerAddress, readListenerAddress } from './values/compound.ts';
import { resolvePath } from './values/scalars.ts';

/** Listeners in file order; one on 0.0.0.0:25, or where the old directives say, when none is configured. */
export function readListeners(root: Block, findings: Findings): Listener[] {
  const none = (origin: Origin) => new Block('smtp-listener', '', origin, root);
  const found: Listener[] = [];
  type Line = ListenerAddress & { source: string | null };
  for (const { origin, ...line } of withOrigin<Line>(root, 'smtp-listener')) {
    const settings = new LayeredSettings('smtp-listener', [none(origin)], root);
    found.push({ ...line, settings, origin });
  }
  for (const block of root.blocksOf('smtp-listener')) {
    const address = readListenerAddress(block.argument);
    if (address instanceof Fault) {
      findings.error(block.origin, `<smtp-listener>: ${address.message}`, {
        text: block.argument,
        ...(address.hint ? { hint: address.hint } : {}),
      });
      continue;
    }
    const settings = new LayeredSettings('smtp-listener', [block], root);
    found.push({ ...address, source: settings.get('source'), settings, origin: block.origin });
  }
  if (found.length > 0) return found.sort(byLine);
  const port = root.lines('smtp-port').at(-1);
  const ips = root.lines('smtp-ip');
  const implicit = (address: string, origin: Origin | null): Listener => ({
    address,
    port: (port?.value as number | undefined) ?? 25,
    source: null,
    settings: new LayeredSettings('smtp-listener', [], root),
    origin: origin ?? port?.origin ?? null,
  });
  return ips.length > 0 ? ips.map((l) => implicit(l.value as string, l.origin)) : [implicit('0.0.0.0', null)];
}

const byLine = (a: Listener, b: Listener): number =>
  a.origin && b.origin && a.origin.file === b.origin.file ? a.origin.line - b.origin.line : 0;

/** Spools of both spellings. */
export function readSpools(root: Block, file: string): Spool[] {
  const old = root.lines('spool').map((l) => ({ dir: l.value as string, block: null, origin: l.origin }));
  const blocks = root
    .blocksOf('spool')
    .map((b) => ({ dir: resolvePath(b.argument, path.dirname(file)), block: b, origin: b.origin }));
  // spool-min-free-space counts megabytes and holds for every spool that has no value of its own.
  const floor = root.lines('spool-min-free-space').at(-1);
  const general = new Block('spool', '', floor?.origin ?? { file, line: 0 }, root);
  if (floor) {
    general.settings.set('min-free-space', {
      declaration: directive('spool', 'min-free-space')!,
      lines: [{ ...floor, value: (floor.value as number) * 1024 * 1024 }],
    });
  }
  return [...old, ...blocks].map(({ dir, block, origin }) => ({
    dir,
    settings: new LayeredSettings('spool', block ? [block, general] : [general], root),
    origin,
  }));
}

/** The two processors have the same directives, so one type serves both. */
export function readProcessor(
  scope: 'bounce-processor' | 'feedback-loop-processor',
  root: Block,
  disk: Disk,
  findings: Findings,
): Processor | null {
  const block = root.blocksOf(scope)[0];
  if (!block) return null;
  const list = new AddressList('', block.origin);
  for (const b of block.blocksOf('address-list')) fillAddressList(list, b, disk, findings);
  const patterns = block.blocksOf('email-patterns');
  return {
    settings: new LayeredSettings('bounce-processor', [block], root),
    matches: (address) => list.matches(address),
    bodyPatternFiles: patterns.flatMap((b) =>
      b.lines('body-pattern-file').map((l) => readBodyPattern(l.value as string, l.origin, disk, findings)),
    ),
    logMatchInfo: patterns.some((b) => b.lines('log-match-info').at(-1)?.value === true),
    origin: block.origin,
  };
}

/** Longest pattern file that is read. */
const LONGEST_PATTERN = 10_000;

/** A file that holds one regex with named groups, between slashes or not. */
function readBodyPattern(file: string, origin: Origin, disk: Disk, findings: Findings): BodyPatternFile {
  // That a file must be there is checked with all the others.
  if (!disk.exists(file)) return { file, pattern: null, origin };
  const text = textOf(file, disk);
  if (text === null) return { file, pattern: null, origin };
  if (text.length > LONGEST_PATTERN) {
    findings.error(origin, `body-pattern-file: ${file} is longer than ${LONGEST_PATTERN} characters`, {
      text: file,
    });
    return { file, pattern: null, origin };
  }
  const pattern = compileExtractor(/^\/(.*)\/$/s.exec(text)?.[1] ?? text);
  if (pattern instanceof Fault) {
    findings.error(origin, `body-pattern-file: ${file}: ${pattern.message}`, {
      text: file,
      ...(pattern.hint ? { hint: pattern.hint } : {}),
    });
    return { file, pattern: null, origin };
  }
  if (pattern.names.length === 0) {
    findings.warn(origin, `body-pattern-file: ${file} has no named groups, so its reports name nobody`, {
      text: file,
    });
  }
  return { file, pattern, origin };
}

function textOf(file: string, disk: Disk): string | null {
  try {
    return disk.readFile(file).trim();
  } catch {
    return null;
  }
}
