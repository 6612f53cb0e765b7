import type { Query } from './parameters.ts';

/** Names that `GET /v1/message-events` had, before there was `events/message`, for what has another name now. */
export const olderNames: ReadonlyMap<string, string> = new Map([
  ['campaign_ids', 'campaigns'],
  ['template_ids', 'templates'],
  ['friendly_froms', 'from_addresses'],
  ['reason', 'reasons'],
  ['message_ids', 'messages'],
  ['transmission_ids', 'transmissions'],
]);

const olderOf = new Map([...olderNames].map(([older, now]) => [now, older]));

/** A query in the older names as one of `events/message`; the new names are taken too, and count if both are there. */
export function withNewNames(query: Query): Query {
  const get = (name: string): string | undefined => {
    const older = olderOf.get(name);
    return query.get(name) ?? (older === undefined ? undefined : query.get(older));
  };
  return {
    get,
    has: (name) => get(name) !== undefined,
    *[Symbol.iterator]() {
      for (const [name, value] of query) {
        const now = olderNames.get(name);
        if (now === undefined) yield [name, value];
        else if (!query.has(now)) yield [now, value];
      }
    },
  };
}
