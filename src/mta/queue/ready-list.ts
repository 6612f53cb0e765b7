import { Fifo } from './fifo.ts';
import type { QueuedRecipient } from './queued-recipient.ts';

/** The recipients of one queue that may be tried: by priority, equal ones in the order they came (section 12). */
export class ReadyList {
  /** The highest priority first; at most 101 of them. */
  readonly #levels: { readonly priority: number; readonly items: Fifo<QueuedRecipient> }[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  push(item: QueuedRecipient): void {
    this.#level(item.priority).push(item);
    this.#size++;
  }

  peek(): QueuedRecipient | undefined {
    return this.#first()?.peek();
  }

  shift(): QueuedRecipient | undefined {
    const item = this.#first()?.shift();
    if (item) this.#size--;
    return item;
  }

  /** Puts recipients before all others of their priority, in their order. */
  prepend(items: readonly QueuedRecipient[]): void {
    for (let from = 0; from < items.length; ) {
      const { priority } = items.at(-1 - from)!;
      let n = 1;
      while (from + n < items.length && items.at(-1 - from - n)!.priority === priority) n++;
      this.#level(priority).prepend(items.slice(items.length - from - n, items.length - from));
      from += n;
    }
    this.#size += items.length;
  }

  /** The list of each priority, for whoever looks at heads. */
  *levels(): Generator<Fifo<QueuedRecipient>> {
    for (const { items } of this.#levels) yield items;
  }

  /** Takes the head of one of `levels()`. */
  shiftFrom(level: Fifo<QueuedRecipient>): QueuedRecipient {
    this.#size--;
    return level.shift()!;
  }

  /** Takes out what is chosen; the others keep their places. Looks at all. */
  extract(chosen: (item: QueuedRecipient) => boolean): QueuedRecipient[] {
    const taken: QueuedRecipient[] = [];
    for (const { items } of this.#levels) {
      const kept: QueuedRecipient[] = [];
      for (let item = items.shift(); item; item = items.shift()) (chosen(item) ? taken : kept).push(item);
      items.prepend(kept);
    }
    this.#size -= taken.length;
    return taken;
  }

  *[Symbol.iterator](): Generator<QueuedRecipient> {
    for (const { items } of this.#levels) yield* items;
  }

  #first(): Fifo<QueuedRecipient> | undefined {
    for (;;) {
      const first = this.#levels[0];
      if (!first || first.items.size > 0) return first?.items;
      // Usually there is one level: it is kept, others go when they are empty.
      if (this.#levels.length === 1) return undefined;
      this.#levels.shift();
    }
  }

  #level(priority: number): Fifo<QueuedRecipient> {
    let at = 0;
    while (at < this.#levels.length && this.#levels[at]!.priority > priority) at++;
    const found = this.#levels[at];
    if (found?.priority === priority) return found.items;
    const items = new Fifo<QueuedRecipient>();
    this.#levels.splice(at, 0, { priority, items });
    return items;
  }
}
