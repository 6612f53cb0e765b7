/** A queue's own clock of retries (delivery section 7): how often it failed in a row, and when it is next tried. */
export class RetryClock {
  /** Not attempted before this time; 0 when the queue is not in retry. */
  retryAt = 0;
  /** Failed runs in a row, up to the last step. */
  position = 0;
  /** The run that connections granted now belong to: what began before the last failure is part of the one before. */
  run = 0;

  /**
   * A connection of this run failed. Several connections that fail together are one run, also one that began before
   * the failure and is told of when the wait is long over. Says whether this begins a new wait (D7.1).
   */
  failed(steps: readonly number[], run: number, now: number): boolean {
    if (this.retryAt > now || run !== this.run) return false;
    const step = steps[Math.min(this.position, steps.length - 1)] ?? 0;
    this.position = Math.min(this.position + 1, steps.length);
    this.retryAt = now + step;
    this.run++;
    return true;
  }

  /** A delivery ends the series (D7.2). */
  delivered(): void {
    this.position = 0;
  }

  /** The wait ends now; the series goes on. */
  wake(): void {
    this.retryAt = 0;
  }
}
