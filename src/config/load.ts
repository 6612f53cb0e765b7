import { hostname } from 'node:os';
import path from 'node:path';
import type { Block } from './block.ts';
import { Config } from './config.ts';
import { stockDefaults } from './config-defaults.ts';
import { type Diagnostic, Findings } from './diagnostic.ts';
import { type Disk, realDisk } from './disk.ts';
import { Interpreter } from './interpret.ts';
import { checkReferences } from './references.ts';
import { checkRequirements } from './requirements.ts';
import type { Tree } from './tree.ts';
import { findSuspicious } from './warnings.ts';

/** A new text of the main file or of one that it includes, before it is on disk. */
export interface ReplacedFile {
  /** As `Config.files` has it. */
  readonly file: string;
  readonly text: string;
}

export interface LoadOptions {
  /** Texts that stand for files, by their absolute names; all others come from the disk. */
  readonly texts?: ReadonlyMap<string, string> | undefined;
  /** A disk of one's own: text of a file, throwing when there is none. */
  readonly readFile?: (file: string) => string;
  /** Other questions to that disk; without them a file exists when it can be read, and folders are empty. */
  readonly exists?: (file: string) => boolean;
  readonly list?: (folder: string) => string[];
  readonly mode?: (file: string) => number | null;
  /** What a missing key or certificate is; `warn` for looking at a configuration away from its machine. */
  readonly missingFiles?: 'error' | 'warn';
  /** The machine's own name; default `os.hostname()`. */
  readonly hostName?: string;
}

export interface Loaded {
  /** Null when there is any error. */
  readonly config: Config | null;
  /** Errors and warnings, in the order they were found. */
  readonly diagnostics: readonly Diagnostic[];
  /** What was read, by file, for printing it back. */
  readonly trees: ReadonlyMap<string, Tree>;
  /** The statements as blocks, also when there are errors. */
  readonly root: Block;
}

/** Name under which the stock table shows in origins. */
export const STOCK = 'config-defaults';

function diskOf(options: LoadOptions): Disk {
  const { readFile, texts } = options;
  if (texts) {
    return {
      ...realDisk,
      readFile: (file) => texts.get(file) ?? realDisk.readFile(file),
      exists: (file) => texts.has(file) || realDisk.exists(file),
    };
  }
  if (!readFile) return realDisk;
  return {
    readFile,
    exists:
      options.exists ??
      ((file) => {
        try {
          readFile(file);
          return true;
        } catch {
          return false;
        }
      }),
    list: options.list ?? (() => []),
    mode: options.mode ?? (() => null),
  };
}

/**
 * Reads a configuration with everything it includes. All faults are told at once, each with its place; with any error
 * there is no configuration. Nothing is thrown for what stands in the files.
 */
export function loadConfig(file: string, options: LoadOptions = {}): Loaded {
  const main = path.resolve(file);
  const disk = diskOf(options);
  const findings = new Findings();
  const interpreter = new Interpreter(main, disk, findings);
  const besides = path.join(path.dirname(main), STOCK);
  const own = main !== besides && disk.exists(besides);
  // First, so that the main file overrides what it sets.
  if (own) interpreter.readMain(besides);
  else interpreter.readText(stockDefaults, STOCK);
  interpreter.readMain(main);
  const stockFile = own ? besides : STOCK;
  const { root, texts, trees } = interpreter.result();
  const config = new Config(root, {
    file: main,
    texts,
    disk,
    findings,
    hostName: (options.hostName ?? hostname()).toLowerCase(),
    defaultsFile: stockFile,
  });
  const used = checkReferences(config, findings);
  checkRequirements(config, disk, findings, options.missingFiles ?? 'error');
  findSuspicious(config, disk, findings, used, stockFile);
  return { config: findings.errors === 0 ? config : null, diagnostics: findings.list, trees, root };
}
