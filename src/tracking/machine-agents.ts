/**
 * What a fetch was: a person's client, a proxy that fetches when the person opens, a provider that fetches ahead of
 * any person, a security product, or another program.
 */
export type EngagementClass = 'human' | 'proxy' | 'prefetch' | 'scanner' | 'bot';

/**
 * How a row recognises a user agent: `is` the whole text as it stands; `has` anywhere, in any letter case; `word` like
 * `has` but with no letter on either side; `ending` like `has` but with no letter after it.
 */
export type AgentMatch = 'is' | 'has' | 'word' | 'ending';

export interface MachineAgent {
  readonly match: AgentMatch;
  /** Lower case unless `match` is `is`. */
  readonly text: string;
  readonly family: string;
  readonly class: EngagementClass;
  readonly isPrefetched?: boolean;
  readonly isProxy?: boolean;
}

/** When the rows below were last compared with what the programs send. */
export const machineAgentsDate = '2026-11-21';

const prefetchers: readonly MachineAgent[] = [
  // Apple Mail Privacy Protection: no browser sends so little.
  {
    match: 'is',
    text: 'Mozilla/5.0',
    family: 'Apple Mail Privacy Protection',
    class: 'prefetch',
    isPrefetched: true,
    isProxy: true,
  },
  // Gmail loads images just before it shows a new message in an open session; the second Mozilla is its mark.
  {
    match: 'is',
    text: 'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/42.0.2311.135 Safari/537.36 Edge/12.246 Mozilla/5.0',
    family: 'Gmail prefetch',
    class: 'prefetch',
    isPrefetched: true,
  },
];

const proxies: readonly MachineAgent[] = (
  [
    ['googleimageproxy', 'Gmail image proxy'],
    ['via ggpht.com', 'Gmail image proxy'],
    ['yahoomailproxy', 'Yahoo Mail proxy'],
  ] as const
).map(([text, family]) => ({ match: 'has', text, family, class: 'proxy', isProxy: true }));

const scanners: readonly MachineAgent[] = (
  [
    ['has', 'barracuda', 'Barracuda'],
    ['has', 'proofpoint', 'Proofpoint'],
    ['has', 'mimecast', 'Mimecast'],
    ['has', 'ironport', 'Cisco'],
    ['word', 'cisco', 'Cisco'],
    ['has', 'trendmicro', 'Trend Micro'],
    ['has', 'trend micro', 'Trend Micro'],
    ['has', 'fortinet', 'Fortinet'],
    ['has', 'fortiguard', 'Fortinet'],
    ['has', 'fortimail', 'Fortinet'],
    ['has', 'sophos', 'Sophos'],
    ['has', 'symantec', 'Symantec'],
    ['has', 'messagelabs', 'Symantec'],
    ['has', 'forcepoint', 'Forcepoint'],
    ['has', 'websense', 'Forcepoint'],
    ['has', 'sonicwall', 'SonicWall'],
    ['has', 'zscaler', 'Zscaler'],
    ['has', 'fireeye', 'Trellix'],
    ['word', 'trellix', 'Trellix'],
    ['word', 'mcafee', 'McAfee'],
    ['has', 'bitdefender', 'Bitdefender'],
    ['has', 'hornetsecurity', 'Hornetsecurity'],
    ['has', 'urlscan', 'urlscan'],
    ['has', 'virustotal', 'VirusTotal'],
  ] as const
).map(([match, text, family]) => ({ match, text, family, class: 'scanner' }));

/** Before the bots: what looks like a library here is a person's mail client or app. */
const people: readonly MachineAgent[] = (
  [
    ['ms-office', 'Outlook'],
    ['msoffice', 'Outlook'],
    // Apps that resolve a deep link themselves.
    ['cfnetwork/', 'iOS app'],
  ] as const
).map(([text, family]) => ({ match: 'has', text, family, class: 'human' }));

const bots: readonly MachineAgent[] = (
  [
    // People share links in chats and networks, which look at them once.
    ['has', 'slackbot', 'Slack'],
    ['has', 'slack-imgproxy', 'Slack'],
    ['has', 'facebookexternalhit', 'Facebook'],
    ['has', 'facebot', 'Facebook'],
    ['has', 'twitterbot', 'Twitter'],
    ['has', 'linkedinbot', 'LinkedIn'],
    ['has', 'whatsapp', 'WhatsApp'],
    ['has', 'telegrambot', 'Telegram'],
    ['has', 'discordbot', 'Discord'],
    ['has', 'skypeuripreview', 'Skype'],
    ['has', 'bingpreview', 'Bing'],
    ['has', 'embedly', 'Embedly'],
    ['has', 'preview', 'Link preview'],
    // Libraries and tools.
    ['word', 'curl', 'curl'],
    ['word', 'wget', 'Wget'],
    ['has', 'python-', 'Python'],
    ['word', 'python', 'Python'],
    ['has', 'aiohttp', 'Python'],
    ['has', 'go-http-client', 'Go'],
    ['has', 'apache-httpclient', 'Java'],
    ['has', 'libwww-perl', 'Perl'],
    ['has', 'guzzlehttp', 'PHP'],
    ['has', 'node-fetch', 'Node.js'],
    ['word', 'undici', 'Node.js'],
    ['word', 'axios', 'Node.js'],
    ['has', 'postmanruntime', 'Postman'],
    ['has', 'headlesschrome', 'Headless Chrome'],
    ['has', 'phantomjs', 'PhantomJS'],
    // Monitoring and everything that says what it is.
    ['has', 'pingdom', 'Pingdom'],
    ['has', 'statuscake', 'StatusCake'],
    ['has', 'site24x7', 'Site24x7'],
    ['has', 'datadog', 'Datadog'],
    ['word', 'crawler', 'Crawler'],
    ['word', 'spider', 'Spider'],
    ['ending', 'bot', 'Bot'],
  ] as const
).map(([match, text, family]) => ({ match, text, family, class: 'bot' }));

/** The first row that matches decides. */
export const machineAgents: readonly MachineAgent[] = [
  ...prefetchers,
  ...proxies,
  ...scanners,
  ...people,
  ...bots,
];

/** Words that contain a row's text and mean something else: CUBOT makes telephones. */
export const notMachines: readonly string[] = ['cubot'];

/** Browsers and mail clients, most telling mark first, since each names the ones it descends from. */
export const clientFamilies: readonly (readonly [mark: string, family: string])[] = [
  ['Edg/', 'Edge'],
  ['EdgA/', 'Edge'],
  ['EdgiOS/', 'Edge'],
  ['Edge/', 'Edge'],
  ['OPR/', 'Opera'],
  ['SamsungBrowser/', 'Samsung Internet'],
  ['YaBrowser/', 'Yandex Browser'],
  ['Thunderbird/', 'Thunderbird'],
  ['FxiOS/', 'Firefox'],
  ['Firefox/', 'Firefox'],
  ['CriOS/', 'Chrome'],
  ['Chrome/', 'Chrome'],
  ['Trident/', 'Internet Explorer'],
  ['MSIE ', 'Internet Explorer'],
  ['Safari/', 'Safari'],
  // WebKit on Apple's systems without a browser's name is the mail client.
  ['(KHTML, like Gecko)', 'Apple Mail'],
];

export interface OsFamily {
  /** The version, if any, follows it. */
  readonly mark: string;
  readonly os: string;
  readonly device?: string;
  readonly brand?: string;
}

export const osFamilies: readonly OsFamily[] = [
  { mark: 'iPhone; CPU iPhone OS ', os: 'iOS', device: 'iPhone', brand: 'Apple' },
  { mark: 'iPad; CPU OS ', os: 'iOS', device: 'iPad', brand: 'Apple' },
  { mark: 'Windows NT ', os: 'Windows' },
  { mark: 'Mac OS X ', os: 'Mac OS X', device: 'Mac', brand: 'Apple' },
  { mark: 'Android ', os: 'Android' },
  { mark: 'CrOS ', os: 'Chrome OS' },
  { mark: 'Linux', os: 'Linux' },
];
