/** The pages of the web monitor as commands (management guide, section 8.2): each shows what a command shows. */
import type { Config } from '../../config/index.ts';

interface Page {
  readonly words: readonly string[];
  /** The field that becomes the command's argument, and whether it may be missing. */
  readonly argument?: string;
  /** Fields that become options of the same meaning. */
  readonly options?: Readonly<Record<string, string>>;
  /** Options given always. */
  readonly always?: readonly string[];
  /** A list: of as many rows as `http-default-max-items` says, unless the request says otherwise. */
  readonly rows?: boolean;
  /** Its order may be set by `http-default-sort-order`. */
  readonly sorted?: boolean;
}

const LIST_OPTIONS = {
  maxitems: 'maxitems',
  sort: 'sort',
  connected: 'connected',
  paused: 'paused',
  mode: 'mode',
} as const;

const DOMAIN_OPTIONS = { maxitems: 'maxitems', sort: 'sort', connected: 'connected', vmta: 'vmta' } as const;

export interface PageDefaults {
  readonly rows: number;
  readonly order: string;
}

export function pageDefaults({ global }: Config): PageDefaults {
  return { rows: global.get('http-default-max-items'), order: global.get('http-default-sort-order') };
}

const PAGES: ReadonlyMap<string, Page> = new Map<string, Page>([
  ['/', { words: ['show', 'summary'] }],
  ['/status', { words: ['show', 'status'] }],
  [
    '/queues',
    {
      words: ['show', 'queues'],
      argument: 'queue',
      options: LIST_OPTIONS,
      always: ['--errors'],
      rows: true,
      sorted: true,
    },
  ],
  ['/queueDetail', { words: ['inspect'], argument: 'queue' }],
  [
    '/domains',
    {
      words: ['show', 'domains'],
      argument: 'domain',
      options: DOMAIN_OPTIONS,
      always: ['--errors'],
      rows: true,
      sorted: true,
    },
  ],
  ['/domainDetail', { words: ['show', 'domains'], argument: 'domain', always: ['--errors'] }],
  ['/vmtas', { words: ['show', 'vmtas'], options: { maxitems: 'maxitems' }, rows: true }],
  ['/jobs', { words: ['show', 'jobs'], options: { maxitems: 'maxitems' }, rows: true }],
  ['/jobDetail', { words: ['show', 'jobs'], argument: 'jobid' }],
  ['/settings', { words: ['show', 'settings'], argument: 'queue' }],
  ['/explain', { words: ['explain'], argument: 'queue', options: { job: 'job', message: 'message' } }],
  ['/counters', { words: ['show', 'counters'] }],
  [
    '/listqueue',
    {
      words: ['list'],
      options: {
        queue: 'queue',
        jobid: 'jobId',
        envid: 'envId',
        rcpt: 'rcpt',
        orig: 'orig',
        maxitems: 'maxitems',
      },
    },
  ],
]);

/** The command's words; null when there is no such page. */
export function pageCommand(path: string, fields: URLSearchParams, defaults: PageDefaults): string[] | null {
  const page = PAGES.get(path);
  if (!page) return null;
  const words = [...page.words, ...(page.always ?? [])];
  if (page.rows && !fields.get('maxitems')) words.push(`--maxitems=${defaults.rows}`);
  if (page.sorted && !fields.get('sort')) words.push(`--sort=${defaults.order}`);
  const argument = page.argument === undefined ? null : fields.get(page.argument);
  if (argument !== null && argument !== '') words.push(argument);
  for (const [field, option] of Object.entries(page.options ?? {})) {
    const value = fields.get(field);
    if (value !== null && value !== '') words.push(`--${option}=${value}`);
  }
  return words;
}
