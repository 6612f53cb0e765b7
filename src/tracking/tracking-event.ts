import { createHash } from 'node:crypto';
import { randomEventId } from '../events/event-id.ts';
import { type AgentFacts, agentFacts, type EngagementClass } from './machine-traffic.ts';
import { cutUtf8, type TrackingToken } from './token.ts';

/** What the tracker knows about a request beyond its token. */
export interface TrackedRequest {
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** The client, as far as trusted proxies tell. */
  readonly address: string;
  /** Header values as they came; '' without the header. */
  readonly userAgent: string;
  readonly acceptLanguage: string;
  /** The same link was asked for with HEAD shortly before: security products do that, people do not. */
  readonly probed: boolean;
}

type Fields = Record<string, string | number | boolean | object>;

const LONGEST_AGENT = 1024;
const LONGEST_LANGUAGE = 256;

/**
 * The ingest lines of one fetch: an open, a click, a click with its `link` unsubscribe, or a `list` unsubscribe.
 * Each passes `checkIngestLine`; a token that names no message, or for an unsubscribe no recipient, gives none.
 * `sealed` is the token as it stood in the URL: it decides the id of a list unsubscribe, so that repeats are one event.
 */
export function trackingLines(
  token: TrackingToken,
  sealed: string,
  request: TrackedRequest,
  eventId: () => string = randomEventId,
): string[] {
  if (token.messageId === '') return [];
  const recipient = recipientFields(token);
  if (token.action === 'unsubscribe') {
    if (recipient === null) return [];
    const event = {
      ...head('list', idOf(sealed), token, request),
      ...recipient,
      ...tail(token),
      recv_method: 'esmtp',
      ip_address: request.address,
    };
    return [line('unsubscribe_event', event)];
  }

  const agent = agentFields(request);
  const click = token.action === 'click';
  const link: Fields = click
    ? { target_link_url: token.target, target_link_name: token.linkName || 'Raw URL' }
    : {};
  const type = token.amp ? `amp_${token.action}` : token.action;
  const common = { ...recipient, ...tail(token), ip_address: request.address, ...agent, ...link };
  const lines = [line('track_event', { ...head(type, eventId(), token, request), ...common })];
  if (click && token.unsubscribe && recipient !== null) {
    const event = {
      ...head('link', eventId(), token, request),
      ...common,
      recv_method: 'esmtp',
      accept_language: headerText(request.acceptLanguage, LONGEST_LANGUAGE),
    };
    lines.push(line('unsubscribe_event', event));
  }
  return lines;
}

function line(wrapper: 'track_event' | 'unsubscribe_event', fields: Fields): string {
  const event: Fields = {};
  for (const [name, value] of Object.entries(fields)) {
    if (value !== '') event[name] = typeof value === 'string' ? value.toWellFormed() : value;
  }
  return JSON.stringify({ msys: { [wrapper]: event } });
}

function head(type: string, id: string, token: TrackingToken, request: TrackedRequest): Fields {
  return {
    type,
    event_id: id,
    timestamp: String(Math.floor(request.at / 1000)),
    message_id: token.messageId,
  };
}

function tail(token: TrackingToken): Fields {
  return {
    campaign_id: token.campaign,
    ...(token.subaccount > 0 ? { subaccount_id: token.subaccount } : {}),
    delv_method: 'esmtp',
    initial_pixel: token.initialPixel,
    open_tracking: token.openTracking,
    click_tracking: token.clickTracking,
  };
}

/** `null` if the token does not say whom it concerns. */
function recipientFields(token: TrackingToken): Fields | null {
  const { recipient } = token;
  const at = recipient.lastIndexOf('@');
  if (token.anonymised) {
    const domain = recipient.slice(at + 1).toLowerCase();
    return at <= 0 || domain === '' ? null : { rcpt_hash: recipient.slice(0, at), rcpt_domain: domain };
  }
  if (recipient === '') return null;
  const lower = recipient.toLowerCase();
  return { rcpt_to: lower, ...(lower === recipient ? {} : { raw_rcpt_to: recipient }) };
}

function agentFields(request: TrackedRequest): Fields {
  const userAgent = headerText(request.userAgent, LONGEST_AGENT);
  const facts = agentFacts(userAgent);
  return { user_agent: userAgent, user_agent_parsed: parsedAgent(facts, classOf(facts, request)) };
}

/** Proxies and previews may ask with HEAD too; what calls itself a person after it is taken for a scanner. */
function classOf(facts: AgentFacts, request: TrackedRequest): EngagementClass {
  return request.probed && facts.engagementClass === 'human' ? 'scanner' : facts.engagementClass;
}

function parsedAgent(facts: AgentFacts, engagementClass: EngagementClass): Fields {
  const texts = {
    agent_family: facts.agentFamily,
    device_brand: facts.deviceBrand,
    device_family: facts.deviceFamily,
    os_family: facts.osFamily,
    os_version: facts.osVersion,
  };
  return {
    ...Object.fromEntries(Object.entries(texts).filter(([, text]) => text !== '')),
    is_mobile: facts.isMobile,
    is_proxy: facts.isProxy,
    is_prefetched: facts.isPrefetched,
    engagement_class: engagementClass,
  };
}

/** Cut to `most` octets, without controls (a header's octets come as Latin-1). */
function headerText(value: string, most: number): string {
  return cutUtf8(value.slice(0, most).replace(/[\u0000-\u001f\u007f-\u009f]/g, ''), most).trim();
}

/** A 63-bit decimal from the token: the same request again, to any tracker, is the same event. */
function idOf(sealed: string): string {
  const digest = createHash('sha256').update(`list unsubscribe\0${sealed}`).digest();
  return randomEventId(() => digest);
}
