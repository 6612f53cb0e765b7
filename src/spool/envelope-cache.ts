import type { Envelope } from './stored-message.ts';

/** Envelopes with fewer recipients are decoded sooner than found again. */
const FEWEST_RECIPIENTS = 20;
const MOST_ENVELOPES = 8;
/** Recipients of all that are kept. One envelope is kept whatever its size: it was in memory when it came in. */
const MOST_RECIPIENTS = 100_000;

/**
 * Envelopes that were decoded a moment ago. The recipients of a large message are delivered in many small steps, each
 * of which asks for the envelope: decoded each time, the work would grow with the square of their number.
 */
export class EnvelopeCache {
  /** The one used last comes last. */
  readonly #kept = new Map<string, Envelope>();
  #recipients = 0;

  get(spoolId: string): Envelope | undefined {
    const envelope = this.#kept.get(spoolId);
    if (envelope) {
      this.#kept.delete(spoolId);
      this.#kept.set(spoolId, envelope);
    }
    return envelope;
  }

  keep(spoolId: string, envelope: Envelope): void {
    if (envelope.recipients.length < FEWEST_RECIPIENTS) return;
    this.forget(spoolId);
    this.#kept.set(spoolId, envelope);
    this.#recipients += envelope.recipients.length;
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size === 1) break;
      if (this.#kept.size <= MOST_ENVELOPES && this.#recipients <= MOST_RECIPIENTS) break;
      this.forget(oldest);
    }
  }

  /** The message leaves the spool. */
  forget(spoolId: string): void {
    const envelope = this.#kept.get(spoolId);
    if (!envelope) return;
    this.#kept.delete(spoolId);
    this.#recipients -= envelope.recipients.length;
  }
}
