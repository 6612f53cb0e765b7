/** Somebody who looks at a page, and what a page function makes for them. */
import type { Config } from '../../../config/index.ts';
import { plainData } from '../answer.ts';
import { pageCommand, pageDefaults } from '../pages.ts';
import { type Ran, runWords, type Visitor } from '../run.ts';
import type { MonitorOptions } from '../server.ts';
import type { Html } from './html.ts';
import type { Remembered } from './remembered.ts';

export interface PageDeps extends MonitorOptions {
  readonly remembered: Remembered<Ran>;
}

export interface Visit {
  readonly deps: PageDeps;
  readonly config: Config;
  /** Below `/ui`, without an end slash; percent-encoded as it came. */
  readonly path: string;
  readonly fields: URLSearchParams;
  readonly post: boolean;
  readonly visitor: Visitor;
  /** Stands in each form that changes something. */
  readonly token: string;
}

export interface View {
  /** Default 200. */
  readonly code?: number;
  readonly title: string;
  readonly body: Html;
  /** What is shown changes by itself, so the page may refresh itself. */
  readonly live?: boolean;
}

/** Data of a page as its JSON has them, or why there are none. */
export type Asked<T> = { readonly data: T } | { readonly fault: string; readonly code: number };

/** What the data page of this path answers to these fields, so that page and data are one. */
export async function askPage<T>(visit: Visit, path: string, fields: URLSearchParams): Promise<Asked<T>> {
  const words = pageCommand(path, fields, pageDefaults(visit.config));
  if (words === null) throw new Error(`there is no data page ${path}`);
  return await askWords<T>(visit, words);
}

/** `words`: a command of level `monitor`. */
export async function askWords<T>({ deps, visitor }: Visit, words: readonly string[]): Promise<Asked<T>> {
  // What pages show is for every level, so it is the same for all.
  const ran = await deps.remembered.get(words.join('\0'), () => runWords(deps, visitor, words));
  return askedOf<T>(ran);
}

function askedOf<T>(ran: Ran): Asked<T> {
  if ('unknown' in ran) return { fault: ran.unknown, code: 400 };
  if ('refused' in ran) return { fault: ran.refused, code: 403 };
  if ('failure' in ran.result) return { fault: ran.result.failure, code: 409 };
  return { data: plainData(ran.result.data === '' ? {} : ran.result.data) as T };
}
