/**
 * Memory for message content on its way in, for all sessions of a server together. Each message has a limit of its
 * own, but sessions are many: without this, as many large messages at once as there are sessions would be held.
 */
export class ContentRoom {
  readonly #limit: number;
  #used = 0;

  /** `limit`: bytes; at least that of one message, or no message of that size is ever taken. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get used(): number {
    return this.#used;
  }

  /** False when there is no room for so many bytes more; nothing is taken then. */
  take(bytes: number): boolean {
    if (this.#used + bytes > this.#limit) return false;
    this.#used += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#used -= bytes;
  }
}
