import { Fifo } from './fifo.ts';
import type { QueuedRecipient } from './queued-recipient.ts';

const SLACK = 64;

/** The recipients of one queue that may be tried: by priority, equal ones in the order they came (section 12). */
export class ReadyList {
  /** The highest priority first; at most 101 of them. */
  readonly #levels: { readonly priority: number; readonly items: Fifo<QueuedRecipient> }[] = [];
  #size = 0;
  /** Still in a level, but expired. */
  #struck = 0;

  get size(): number {
    return this.#size;
  }

  push(item: QueuedRecipient): void {
    item.place = 'ready';
    this.#level(item.priority).push(item);
    this.#size++;
  }

  peek(): QueuedRecipient | undefined {
    return this.#first()?.peek();
  }

  shift(): QueuedRecipient | undefined {
    const item = this.#first()?.shift();
    if (!item) return undefined;
    item.place = 'none';
    this.#size--;
    return item;
  }

  /** Puts recipients before all others of their priority, in their order. */
  prepend(items: readonly QueuedRecipient[]): void {
    for (const item of items) item.place = 'ready';
    for (let from = 0; from < items.length; ) {
      const { priority } = items.at(-1 - from)!;
      let n = 1;
      while (from + n < items.length && items.at(-1 - from - n)!.priority === priority) n++;
      this.#level(priority).prepend(items.slice(items.length - from - n, items.length - from));
      from += n;
    }
    this.#size += items.length;
  }

  /** One that waits here has expired. It is skipped from now on. */
  strike(item: QueuedRecipient): void {
    item.place = 'expired';
    this.#size--;
    if (++this.#struck > this.#size + SLACK) this.extract(() => false);
  }

  /** Takes out what is chosen; the others keep their places. Looks at all. */
  extract(chosen: (item: QueuedRecipient) => boolean): QueuedRecipient[] {
    const taken: QueuedRecipient[] = [];
    for (const { items } of this.#levels) {
      const kept: QueuedRecipient[] = [];
      for (let item = items.shift(); item; item = items.shift()) {
        if (item.place !== 'expired') (chosen(item) ? taken : kept).push(item);
      }
      items.prepend(kept);
    }
    for (const item of taken) item.place = 'none';
    this.#size -= taken.length;
    this.#struck = 0;
    return taken;
  }

  *[Symbol.iterator](): Generator<QueuedRecipient> {
    for (const { items } of this.#levels) {
      for (const item of items) if (item.place !== 'expired') yield item;
    }
  }

  #first(): Fifo<QueuedRecipient> | undefined {
    for (;;) {
      const items = this.#levels[0]?.items;
      for (; items?.peek()?.place === 'expired'; this.#struck--) items.shift();
      if (!items || items.size > 0) return items;
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
