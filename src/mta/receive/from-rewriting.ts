import type { Config } from '../../config/index.ts';
import { Header } from '../../mail/header.ts';
import { firstAddress } from '../../mail/header-text.ts';
import { rewriteFromDomain } from '../route/rewrite.ts';

/**
 * The message with the domain of its From address replaced as `from-domain` of these rewrite lists says, one after the
 * other (section 19). Only the octets of that domain change; name, comments and folding stay.
 */
export function rewriteFrom(raw: Buffer, config: Config, lists: readonly (string | null)[]): Buffer {
  let out = raw;
  for (const list of lists) out = rewriteOnce(out, config, list);
  return out;
}

function rewriteOnce(raw: Buffer, config: Config, list: string | null): Buffer {
  if (!list || (config.lists.rewriteLists.get(list.toLowerCase())?.fromDomain.length ?? 0) === 0) return raw;
  const header = new Header(raw);
  const field = header.find('from');
  const address = field && firstAddress(header.value(field))?.address;
  if (!field || !address) return raw;
  const domain = address.slice(address.lastIndexOf('@') + 1);
  const to = rewriteFromDomain(config, list, domain);
  if (to === null) return raw;
  // The last place: a display name may hold the address too.
  const at = raw.subarray(field.valueStart, field.end).lastIndexOf(`@${domain}`);
  if (at < 0) return raw;
  const start = field.valueStart + at + 1;
  return Buffer.concat([
    raw.subarray(0, start),
    Buffer.from(to),
    raw.subarray(start + Buffer.byteLength(domain)),
  ]);
}
