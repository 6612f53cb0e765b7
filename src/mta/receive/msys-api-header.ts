import { type Reply, reply } from '../../smtp/index.ts';

/** What X-MSYS-API says about a message. */
export interface InjectedFacts {
  readonly campaignId: string;
  /** JSON text of the `metadata` object; '' when none. */
  readonly metadata: string;
  readonly tags: readonly string[];
  readonly openTracking: boolean | null;
  readonly clickTracking: boolean | null;
}

const LARGEST_METADATA = 10 * 1024;
const LONGEST_CAMPAIGN = 64;
const MOST_TAGS = 10;
const LONGEST_TAG = 255;
/** Levels of objects and arrays: whoever writes metadata out again goes down all of them. */
const DEEPEST = 32;

/**
 * The JSON of an X-MSYS-API header; null when there is none. A Reply in the words of SparkPost's SMTP API when it is
 * not what that takes. Keys that are not known are left alone.
 */
export function readApiHeader(text: string | null): InjectedFacts | Reply | null {
  if (text === null) return null;
  if (isDeep(text)) return refusal(`is nested deeper than ${DEEPEST} levels`);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return refusal('is not JSON');
  }
  if (!isObject(json)) return refusal("must be of type 'json object'");
  const own = (object: object, key: string): unknown =>
    Object.hasOwn(object, key) ? (object as Record<string, unknown>)[key] : undefined;
  const campaign = own(json, 'campaign_id') ?? '';
  if (typeof campaign !== 'string') return refusal("'campaign_id' must be of type 'string'");
  if (Buffer.byteLength(campaign) > LONGEST_CAMPAIGN) {
    return reply(550, '5.6.0', `smtpapi_campaign_id context is limited to ${LONGEST_CAMPAIGN} bytes`);
  }
  const metadata = own(json, 'metadata');
  if (metadata !== undefined && !isObject(metadata)) {
    return refusal("'metadata' must be of type 'json object'");
  }
  const metadataText = metadata === undefined ? '' : JSON.stringify(metadata);
  if (Buffer.byteLength(metadataText) > LARGEST_METADATA) {
    return refusal(`'metadata' is limited to ${LARGEST_METADATA} bytes`);
  }
  const tags = own(json, 'tags') ?? [];
  if (!Array.isArray(tags) || tags.some((tag) => typeof tag !== 'string')) {
    return refusal("'tags' must be of type 'json array'");
  }
  const options = own(json, 'options') ?? {};
  if (!isObject(options)) return refusal("'options' must be of type 'json object'");
  const open = own(options, 'open_tracking') ?? null;
  const click = own(options, 'click_tracking') ?? null;
  if ((open !== null && typeof open !== 'boolean') || (click !== null && typeof click !== 'boolean')) {
    return refusal("'open_tracking' and 'click_tracking' must be of type 'boolean'");
  }
  return {
    campaignId: campaign,
    metadata: metadataText,
    tags: (tags as string[]).slice(0, MOST_TAGS).map((tag) => tag.slice(0, LONGEST_TAG)),
    openTracking: open,
    clickTracking: click,
  };
}

/** Whether brackets outside of strings nest deeper than anybody needs. */
function isDeep(text: string): boolean {
  let depth = 0;
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (quoted) {
      if (c === '\\') i++;
      else if (c === '"') quoted = false;
    } else if (c === '"') quoted = true;
    else if (c === '{' || c === '[') {
      if (++depth > DEEPEST) return true;
    } else if (c === '}' || c === ']') depth--;
  }
  return false;
}

function refusal(what: string): Reply {
  return reply(550, '5.6.0', `X-MSYS-API ${what}`);
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
