/**
 * Pages that refresh themselves may not slow the mail down: with a full spool some answers look at every recipient. A
 * costly answer is shown again, to everybody, for fifty times as long as it took, so all pages together take at most
 * about a fiftieth of the main thread. Answers that cost little are always new.
 */
const SHARE = 50;
const COSTLY_MS = 10;
/** Questions of different words; the oldest goes first. */
const MOST = 100;

export class Remembered<T> {
  readonly #answers = new Map<string, { readonly answer: T; readonly until: number }>();
  readonly #now: () => number;

  /** `now`: milliseconds of a clock that only goes forward. */
  constructor(now: () => number) {
    this.#now = now;
  }

  async get(question: string, work: () => Promise<T>): Promise<T> {
    const known = this.#answers.get(question);
    const began = this.#now();
    if (known && began < known.until) return known.answer;
    this.#answers.delete(question);
    const answer = await work();
    const ended = this.#now();
    const cost = ended - began;
    if (cost >= COSTLY_MS) {
      this.#answers.set(question, { answer, until: ended + cost * SHARE });
      if (this.#answers.size > MOST) this.#answers.delete(this.#answers.keys().next().value!);
    }
    return answer;
  }

  /** Somebody has changed something and wants to see it. */
  forget(): void {
    this.#answers.clear();
  }
}
