import { createHash, timingSafeEqual } from 'node:crypto';

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

/** The keys of `<transmissions-api>`. How long an answer takes says nothing about how much of a key was right. */
export class ApiKeys {
  readonly #digests: readonly Buffer[];

  constructor(keys: readonly string[]) {
    this.#digests = keys.map(digest);
  }

  accepts(given: string | undefined): boolean {
    const asked = digest(given ?? '');
    let found = false;
    for (const known of this.#digests) if (timingSafeEqual(known, asked)) found = true;
    return found && given !== undefined;
  }
}
