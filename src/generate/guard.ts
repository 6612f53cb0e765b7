import { domainToAscii } from '../mail/address.ts';
import { UserError } from '../system/user-error.ts';

const RESERVED = ['test', 'invalid', 'example', 'localhost'];

/**
 * Refuses to start when a recipient's domain is neither reserved for tests (RFC 2606, RFC 6761) nor named by the
 * person who starts the run: test mail must never reach a stranger. All or nothing; there is no partial sending.
 * `allowed` holds domains; each stands for itself and the names below it.
 */
export function guardDestinations(addresses: Iterable<string>, allowed: readonly string[]): void {
  const suffixes = [...RESERVED, ...allowed.map((domain) => domainToAscii(domain) ?? '')].filter(Boolean);
  const checked = new Set<string>();
  for (const address of addresses) {
    const domain = domainToAscii(address.slice(address.lastIndexOf('@') + 1)) ?? '';
    if (checked.has(domain)) continue;
    if (!suffixes.some((suffix) => domain === suffix || domain.endsWith(`.${suffix}`))) {
      throw new UserError(
        `the generator does not send to ${address}: its domain is not reserved for tests; name it with --allow-destination if it is a sink of yours`,
        { exitCode: 2 },
      );
    }
    checked.add(domain);
  }
}
