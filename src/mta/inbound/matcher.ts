/**
 * Finds the message of ours that a report speaks of. Two things must agree: the report quotes an id that we signed,
 * and the recipient of that id is the one that the report names, or to whose return path it came. An id that is used
 * to say something about somebody else matches nothing.
 */
import type { MatchedMessage } from '../../events/outcome.ts';
import { decodeVerp, domainToAscii } from '../../mail/address.ts';
import type { Spool } from '../../spool/spool.ts';
import { factsFor } from '../../spool/stored-message.ts';
import { messageIdOf, type Reference, type ReferenceSigner } from './reference.ts';

type HeaderList = readonly (readonly [name: string, value: string])[];

/** The header that `add-reference-header` adds. */
export const REFERENCE_HEADER = 'X-Posthorn-Reference';

/** Hosts that a message has passed. */
const MOST_FIELDS = 100;

/** Whom a report names; '' where it does not say. */
export interface Named {
  readonly recipient: string;
  readonly originalRecipient: string;
}

export class Matcher {
  readonly #signer: ReferenceSigner;
  readonly #spool: Pick<Spool, 'sent' | 'envelope' | 'pending'>;

  constructor(signer: ReferenceSigner, spool: Pick<Spool, 'sent' | 'envelope' | 'pending'>) {
    this.#signer = signer;
    this.#spool = spool;
  }

  /** The ids of ours in a returned header. */
  references(headers: HeaderList): readonly Reference[] {
    const own = REFERENCE_HEADER.toLowerCase();
    return headers
      .filter(([name]) => name.toLowerCase() === 'received' || name.toLowerCase() === own)
      .slice(0, MOST_FIELDS)
      .flatMap(([, value]) => this.#signer.verify(value.slice(0, 2000)) ?? []);
  }

  /** `sentTo` is the address that the report came to. */
  match(references: readonly Reference[], named: Named, sentTo: string): MatchedMessage | null {
    if (references.length === 0) return null;
    const told = [named.originalRecipient, named.recipient].filter(
      (name) => name !== '' && !isRedacted(name),
    );
    const verp = verpRecipients(sentTo);
    for (const reference of references) {
      if (reference.single) {
        const found = this.#find(reference, reference.base);
        if (!found) continue;
        const agrees = (name: string) => isSameAddress(name, found.recipient);
        if (told.length === 0 || told.some(agrees) || verp.some(agrees)) return found;
        continue;
      }
      for (const name of [...told, ...verp]) {
        const found = this.#find(reference, messageIdOf(reference.base, name, false));
        if (found) return found;
      }
    }
    return null;
  }

  /** In what was sent lately, else in what still waits: another host may report before it has said 250 to us. */
  #find({ spoolId }: Reference, messageId: string): MatchedMessage | null {
    const sent = this.#spool.sent.find(messageId);
    if (sent) return sent;
    const envelope = this.#spool.envelope(spoolId);
    const index = envelope?.recipients.findIndex((one) => one.messageId === messageId) ?? -1;
    // One that is settled and was not sent has failed here: its bounce is recorded, and a report of ours that comes
    // back to us says nothing more.
    if (!envelope || index < 0 || !this.#spool.pending(spoolId, index)) return null;
    const facts = factsFor(envelope, index);
    return {
      messageId,
      recipient: envelope.recipients[index]!.address,
      sender: facts.sender,
      from: facts.from,
      senderDomain: facts.senderDomain,
      jobId: facts.jobId,
      vmta: facts.vmta,
      pool: facts.pool,
      sendingIp: '',
      subaccountId: facts.subaccountId,
      ...(facts.customMessageId === '' ? {} : { customMessageId: facts.customMessageId }),
    };
  }
}

/** Hyphens of a return path that are tried: any of them may part the box from the recipient. */
const MOST_HYPHENS = 10;

/** Whom a return path of VERP may name. */
function verpRecipients(address: string): string[] {
  const hyphens = [...address.matchAll(/-/g)].slice(0, MOST_HYPHENS);
  return hyphens.flatMap(({ index }) => decodeVerp(address, address.slice(0, index))?.recipient ?? []);
}

/** Letter case tells no mailboxes apart in practice, and reporters change it. */
function isSameAddress(a: string, b: string): boolean {
  return normal(a) === normal(b);
}

function normal(address: string): string {
  const at = address.lastIndexOf('@');
  const domain = address.slice(at + 1);
  return `${address.slice(0, at + 1)}${domainToAscii(domain) ?? domain}`.toLowerCase();
}

/** What reporters write instead of a recipient (RFC 6590 and the habits before it). */
function isRedacted(address: string): boolean {
  const local = address.slice(0, Math.max(0, address.lastIndexOf('@')));
  if (local === '') return !address.includes('.');
  return (
    /^(?:x{3,}|\*+|\.{2,}|-+)$|redact|removed|\[.*\]|hidden|anonym/i.test(local) ||
    /^(?:[0-9a-f]{16,}|(?=[^\d]*\d)[A-Za-z0-9+/_-]{20,}=*)$/.test(local)
  );
}
