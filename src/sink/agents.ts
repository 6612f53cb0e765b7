import { weighted } from './draw.ts';

interface Agent {
  /** Name for the `ua=` command. */
  readonly name: string;
  readonly weight: number;
  readonly text: string;
}

/** What readers' mail clients and browsers call themselves. List of November 2025; weights are a guess at the mix. */
const people: readonly Agent[] = [
  {
    name: 'iphone',
    weight: 30,
    text: 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148',
  },
  {
    name: 'android',
    weight: 22,
    text: 'Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36',
  },
  {
    name: 'chrome',
    weight: 18,
    text: 'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36',
  },
  {
    name: 'outlook',
    weight: 10,
    text: 'Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; WOW64; Trident/7.0; Microsoft Outlook 16.0.17932; ms-office; MSOffice 16)',
  },
  {
    name: 'mac',
    weight: 8,
    text: 'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)',
  },
  {
    name: 'firefox',
    weight: 6,
    text: 'Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0',
  },
  {
    name: 'ipad',
    weight: 4,
    text: 'Mozilla/5.0 (iPad; CPU OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148',
  },
  {
    name: 'thunderbird',
    weight: 2,
    text: 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Thunderbird/140.4.0',
  },
];

/** A reader's device: the one asked for by name, else by weight. `at` is a draw in [0, 1). */
export function personAgent(at: number, name = ''): string {
  return (people.find((agent) => agent.name === name) ?? weighted(people, at)).text;
}

/** Apple Mail Privacy Protection and mail clients' image caches fetch under this bare name. */
export const prefetchAgent = 'Mozilla/5.0';

/** Gmail shows images through a proxy of this name: a person has opened the message. */
export const gmailProxyAgent =
  'Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)';

/** Security gateways that follow links go by ordinary browser names, and by their own. */
export const scannerAgent =
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36 BarracudaCentral';

export const botAgent = 'Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)';
