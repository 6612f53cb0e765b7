/** The pages' addresses: what each may say in its query, and links between pages that carry the scope along. */
import {
  carryOver,
  defaultsOf,
  type Filter,
  readView,
  type View,
  type ViewSpec,
  writeView,
} from './address.ts';
import { eventFacets, metricFacets, operatorsOf } from './facets.ts';

export const campaignColumns = [
  'campaign',
  'count_injected',
  'count_delivered',
  'accepted_rate',
  'count_bounce',
  'bounce_rate',
  'count_delayed',
  'count_rendered',
  'open_rate',
  'count_clicked',
  'click_through_rate',
  'count_spam_complaint',
] as const;

export const overviewSpec: ViewSpec = {
  keys: ['t', 'tz', 'step', 'vs', 'f', 'sort', 'n', 'page', 'hide', 'y', 'live'],
  defaults: { t: '24h', vs: 'prev', sort: '-count_injected', live: '60s' },
  facets: operatorsOf(metricFacets),
  sorts: campaignColumns,
};

export const eventsSpec: ViewSpec = {
  keys: ['t', 'tz', 'f', 'n', 'cursor', 'live', 'sel', 'raw'],
  defaults: { t: '24h', n: 25 },
  facets: operatorsOf(eventFacets),
  sorts: [],
};

export const messageSpec: ViewSpec = {
  keys: ['tz', 'sel', 'raw'],
  defaults: {},
  facets: new Map(),
  sorts: [],
};

/** Address of the event list for a range and filters, with the zone of the page that it is on. */
export function eventsHref(of: { t: string; tz: string; f?: readonly Filter[] }): string {
  return `/events${writeView({ ...defaultsOf(eventsSpec), t: of.t, tz: of.tz, f: of.f ?? [] }, eventsSpec)}`;
}

export function typeFilters(types: readonly string[]): Filter[] {
  return types.map((value) => ({ facet: 'type', op: 'eq', value }));
}

export function messageHref(id: string, tz: string): string {
  return `/messages/${encodeURIComponent(id)}${writeView({ ...defaultsOf(messageSpec), tz }, messageSpec)}`;
}

export type PageName = 'overview' | 'events' | 'message' | 'sign-in' | 'none';

export interface Found {
  readonly page: PageName;
  /** The path's own value: a message id. */
  readonly id: string;
}

/** Which page a path is. */
export function findPage(path: string): Found {
  if (path === '/') return { page: 'overview', id: '' };
  if (path === '/events') return { page: 'events', id: '' };
  if (path === '/sign-in') return { page: 'sign-in', id: '' };
  const message = /^\/messages\/([^/]+)$/.exec(path);
  if (message) {
    try {
      return { page: 'message', id: decodeURIComponent(message[1]!) };
    } catch {
      return { page: 'none', id: '' };
    }
  }
  return { page: 'none', id: '' };
}

const specs: Partial<Record<PageName, ViewSpec>> = {
  overview: overviewSpec,
  events: eventsSpec,
  message: messageSpec,
};

/** Address of another page that keeps range, zone and the filters that it understands. */
export function pageHref(to: 'overview' | 'events', from: PageName, search: string): string {
  const path = to === 'overview' ? '/' : '/events';
  const spec = specs[from];
  if (!spec) return path;
  const target = to === 'overview' ? overviewSpec : eventsSpec;
  return path + writeView(carryOver(readView(search, spec).view, target), target);
}

export type { View };
