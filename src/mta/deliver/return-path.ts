import { encodeVerp } from '../../mail/address.ts';
import { type Envelope, factsFor } from '../../spool/stored-message.ts';

/** The envelope sender that one recipient's copy leaves with: its own, and with VERP the recipient told in it. */
export function returnPath(envelope: Envelope, index: number): string {
  const { sender } = factsFor(envelope, index);
  if (!envelope.verp || sender === '') return sender;
  return encodeVerp(sender, envelope.recipients[index]!.address) ?? sender;
}
