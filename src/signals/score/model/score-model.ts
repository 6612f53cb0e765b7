import { readFile } from 'node:fs/promises';
import { reason } from '../../../system/durable-file.ts';
import { UserError } from '../../../system/user-error.ts';
import { components } from './components.ts';
import builtIn from './default-model.json' with { type: 'json' };
import { nearest, type Units, unitsOf } from './units.ts';

/** A curve: rates ascending, between them straight, beyond them level. Rate and weight both in units. */
export type Curve = readonly (readonly [rate: Units, weight: Units])[];

/** How a score is made: base + one weight per component, read off its curve, held to 0 … 1. */
export interface ScoreModel {
  readonly version: string;
  readonly base: Units;
  /** A day with fewer injections with open tracking has no score. */
  readonly minimum: number;
  /** By component; every component has one. */
  readonly curves: ReadonlyMap<string, Curve>;
  /** As it was written. */
  readonly source: ModelFile;
}

/** The form of the file. */
export interface ModelFile {
  readonly version: string;
  readonly base: number;
  readonly minimum_tracked_injections: number;
  readonly components: Readonly<Record<string, readonly (readonly [rate: number, weight: number])[]>>;
}

const MOST_ANCHORS = 100;

/** The weight at a rate, by the curve's straight lines, rounded to the nearest unit. */
export function weightAt(curve: Curve, rate: Units): Units {
  const [first] = curve;
  if (rate <= first![0]) return first![1];
  for (let i = 1; i < curve.length; i++) {
    const [r0, w0] = curve[i - 1]!;
    const [r1, w1] = curve[i]!;
    // The weight is rounded and not the way to it from the last anchor: a half would go the other way there.
    if (rate <= r1) return nearest(w0 * (r1 - r0) + (w1 - w0) * (rate - r0), r1 - r0);
  }
  return curve.at(-1)![1];
}

/** Reads a model out of parsed JSON; what is wrong with it is a sentence. */
export function parseModel(value: unknown): ScoreModel | string {
  if (!isObject(value))
    return 'it must be an object with version, base, minimum_tracked_injections and components';
  const { version, base, minimum_tracked_injections: minimum, components: curvesGiven } = value;
  if (typeof version !== 'string' || !/^[\w.-]{1,40}$/.test(version)) {
    return 'version must be a short text of letters, digits, dots and dashes';
  }
  if (!isNumber(base, 0, 1)) return 'base must be a number from 0 to 1';
  if (!isNumber(minimum, 1, 1e12) || !Number.isInteger(minimum)) {
    return 'minimum_tracked_injections must be a whole number from 1';
  }
  if (!isObject(curvesGiven)) return 'components must be an object: component → list of [rate, weight]';
  const curves = new Map<string, Curve>();
  for (const { type, better } of components) {
    const curve = parseCurve(curvesGiven[type], better);
    if (typeof curve === 'string') return `components[${JSON.stringify(type)}] ${curve}`;
    curves.set(type, curve);
  }
  const unknown = Object.keys(curvesGiven).find((name) => !curves.has(name));
  if (unknown !== undefined) {
    return `components has ${JSON.stringify(unknown.slice(0, 60))}, which is none of ${[...curves.keys()].join(', ')}`;
  }
  return { version, base: unitsOf(base), minimum, curves, source: value as unknown as ModelFile };
}

function parseCurve(value: unknown, better: 'more' | 'less'): Curve | string {
  if (value === undefined) return 'is missing';
  if (!Array.isArray(value) || value.length === 0 || value.length > MOST_ANCHORS) {
    return `must be a list of 1 to ${MOST_ANCHORS} anchors [rate, weight]`;
  }
  const curve: [Units, Units][] = [];
  for (const [i, anchor] of value.entries()) {
    const at = `anchor ${i + 1}`;
    if (!Array.isArray(anchor) || anchor.length !== 2) return `${at} must be [rate, weight]`;
    const [rate, weight] = anchor;
    if (!isNumber(rate, 0, 1)) return `${at}: the rate must be a number from 0 to 1`;
    if (!isNumber(weight, -1, 1)) return `${at}: the weight must be a number from -1 to 1`;
    const next: [Units, Units] = [unitsOf(rate), unitsOf(weight)];
    const before = curve.at(-1);
    if (before && next[0] <= before[0]) return `${at}: the rate must be above that of the anchor before`;
    if (before && (better === 'more' ? next[1] < before[1] : next[1] > before[1])) {
      return `${at}: ${better} is better here, so the weight must not ${better === 'more' ? 'fall' : 'rise'}`;
    }
    curve.push(next);
  }
  return curve;
}

/** The model that comes with the program. */
export const defaultModel: ScoreModel = requireModel(parseModel(builtIn), 'default-model.json');

/** Reads a model from a file. Throws `UserError`. */
export async function readModel(file: string): Promise<ScoreModel> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw new UserError(`${file} (score model) cannot be read: ${reason(error)}`, { cause: error });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UserError(`${file} (score model) is not JSON: ${(error as Error).message}`, { cause: error });
  }
  return requireModel(parseModel(value), file);
}

function requireModel(model: ScoreModel | string, file: string): ScoreModel {
  if (typeof model === 'string') throw new UserError(`${file} (score model): ${model}`);
  return model;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isNumber(value: unknown, least: number, most: number): value is number {
  return typeof value === 'number' && value >= least && value <= most;
}
