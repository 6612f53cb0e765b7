import type { MessageFacts } from '../../events/outcome.ts';
import { encodeVerp } from '../../mail/address.ts';
import { type Envelope, factsFor } from '../../spool/stored-message.ts';

/** A recipient's facts as its deliveries have them: with the sender that its copy goes out under (VERP). */
export function deliveryFacts(envelope: Envelope, index: number): MessageFacts {
  const facts = factsFor(envelope, index);
  if (!envelope.verp || facts.sender === '') return facts;
  const sender = encodeVerp(facts.sender, envelope.recipients[index]!.address);
  // Addresses that VERP cannot hold go out under the sender as it is.
  return sender === null ? facts : { ...facts, sender };
}
