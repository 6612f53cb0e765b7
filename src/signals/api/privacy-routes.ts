import { RequestError } from '../request-error.ts';
import { type Endpoint, endpoint, objectSchema, results } from './endpoint.ts';
import { subaccountHeader } from './register.ts';

const MOST_RECIPIENTS = 1000;

/** Rather what mail has than what RFC 5322 allows: one `@` with something on both sides, no blanks. */
function isAddress(text: string): boolean {
  return text.length <= 320 && /^[^\s@]+@[^\s@]+$/.test(text.trim());
}

const body = {
  schema: {
    type: 'object',
    required: ['recipients'],
    properties: {
      recipients: {
        type: 'array',
        minItems: 1,
        maxItems: MOST_RECIPIENTS,
        items: { type: 'string', maxLength: 1024 },
        description: 'Addresses.',
      },
      include_subaccounts: {
        type: 'boolean',
        description: 'Of all subaccounts too, where no X-MSYS-SUBACCOUNT names one.',
      },
    },
  },
  example: { recipients: ['ada@example.net'], include_subaccounts: true },
} as const;

const saved = { message: 'Request saved.' };

function requireAddresses(recipients: readonly string[]): void {
  const wrong = recipients.filter((text) => !isAddress(text));
  if (wrong.length === 0) return;
  throw new RequestError(400, 'is no e-mail address', {
    details: { recipient: wrong[0]!.slice(0, 320) },
  });
}

/** SparkPost's Data Privacy (SparkPost API documentation). */
export const privacyEndpoints: readonly Endpoint[] = [
  endpoint({
    id: 'createRtbfRequest',
    method: 'POST',
    path: '/api/v1/data-privacy/rtbf-request',
    tag: 'Data privacy',
    summary: 'Erase recipients',
    description:
      'Takes recipients out of events, what is remembered of messages and recipients, and stored batches. Counts stay. The answer comes when the request is on disk; the work is done in the background.',
    access: ['data_privacy/manage'],
    parameters: [subaccountHeader],
    body,
    good: results('The request is saved.', objectSchema({ message: { type: 'string' } }), saved),
    handle: async ({ services, body: given, subaccount }) => {
      requireAddresses(given.recipients);
      const which = subaccount ?? (given.include_subaccounts ? null : 0);
      await services.erasure.request(given.recipients, which);
      return { results: saved };
    },
  }),
  endpoint({
    id: 'createOptOutRequest',
    method: 'POST',
    path: '/api/v1/data-privacy/opt-out-request',
    tag: 'Data privacy',
    summary: 'Opt recipients out of use by third parties',
    description:
      'Nothing is given to third parties, so there is nothing to do: the addresses are checked, no more.',
    access: ['data_privacy/manage'],
    body,
    good: results('The request is saved.', objectSchema({ message: { type: 'string' } }), saved),
    handle: async ({ body: given }) => {
      requireAddresses(given.recipients);
      return { results: saved };
    },
  }),
];
