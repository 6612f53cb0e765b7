/** A measurement that is repeated in a process of its own each time: what one leaves behind is not there for the next. */
import { fork } from 'node:child_process';
import { endsWithUs } from '../../test/program.ts';
import { profiledAs } from './flame.ts';

const ORDER = '--measure-once';

/** Starts `file` so many times, one after the other, each with this order; answers what each measured. */
export async function repeated<T>(file: string, order: unknown, times: number): Promise<T[]> {
  const all: T[] = [];
  for (let i = 0; i < times; i++) {
    const options = { env: profiledAs('posthorn') };
    const child = endsWithUs(fork(file, [ORDER, JSON.stringify(order)], options));
    all.push(
      await new Promise<T>((resolve, reject) => {
        child.once('message', (measured) => resolve(measured as T));
        child.once('exit', (code) => reject(new Error(`a measurement ended with ${code}`)));
      }),
    );
  }
  return all;
}

/** In the process that was started so: its order. */
export function askedFor<O>(): O | null {
  return process.argv[2] === ORDER ? (JSON.parse(process.argv[3]!) as O) : null;
}

export function answer(measured: unknown): Promise<never> {
  return new Promise(() => process.send!(measured, () => process.exit(0)));
}
