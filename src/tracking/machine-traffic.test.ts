import assert from 'node:assert/strict';
import { test } from 'node:test';
import { machineAgents } from './machine-agents.ts';
import { agentFacts } from './machine-traffic.ts';

const CHROME =
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36';

function label(agent: string): string {
  const facts = agentFacts(agent);
  return [facts.engagementClass, facts.isPrefetched && 'prefetched', facts.isProxy && 'proxy']
    .filter(Boolean)
    .join(' ');
}

test('machines that say so are told from people', () => {
  const cases: [agent: string, label: string][] = [
    ['Mozilla/5.0', 'prefetch prefetched proxy'],
    ['Mozilla/5.0 ', 'human'],
    ['mozilla/5.0', 'human'],
    [
      'Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)',
      'proxy proxy',
    ],
    ['Mozilla/5.0 (via ggpht.com)', 'proxy proxy'],
    [
      'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/42.0.2311.135 Safari/537.36 Edge/12.246 Mozilla/5.0',
      'prefetch prefetched',
    ],
    [
      'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/42.0.2311.135 Safari/537.36 Edge/12.246',
      'human',
    ],
    ['YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html', 'proxy proxy'],
    ['Mozilla/4.0 (compatible; ms-office; MSOffice 16)', 'human'],
    [`${CHROME} BarracudaCentral`, 'scanner'],
    ['Proofpoint URL Defense', 'scanner'],
    ['Cisco-Secure-Email', 'scanner'],
    ['SanFrancisco/1.0', 'human'],
    ['Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)', 'bot'],
    ['facebookexternalhit/1.1', 'bot'],
    ['Twitterbot/1.0', 'bot'],
    ['LinkedInBot/1.0 (compatible; Mozilla/5.0)', 'bot'],
    ['WhatsApp/2.23.20.0', 'bot'],
    ['TelegramBot (like TwitterBot)', 'bot'],
    ['SomeNewbot', 'bot'],
    ['Some Link Preview Service', 'bot'],
    ['curl/8.5.0', 'bot'],
    ['python-requests/2.32', 'bot'],
    ['Python/3.12 aiohttp/3.9', 'bot'],
    ['Go-http-client/2.0', 'bot'],
    ['', 'bot'],
    ['Shop/1 CFNetwork/1410 Darwin/22.6.0', 'human'],
    [
      'Mozilla/5.0 (Linux; Android 13; CUBOT X70) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile Safari/537.36',
      'human',
    ],
    ['Mozilla/5.0 (Linux; Android 13; CUBOT X70) Googlebot/2.1', 'bot'],
    [CHROME, 'human'],
    ['Robotics Browser/1.0', 'human'],
    ['Spiderman/1.0', 'human'],
  ];
  for (const [agent, expected] of cases) assert.equal(label(agent), expected, agent);
});

test('clients tell their family, system and device', () => {
  const parsed = (agent: string) => {
    const { agentFamily, osFamily, osVersion, deviceFamily, deviceBrand, isMobile } = agentFacts(agent);
    return [agentFamily, osFamily, osVersion, deviceFamily, deviceBrand, isMobile];
  };
  assert.deepEqual(parsed(CHROME), ['Chrome', 'Windows', '10.0', '', '', false]);
  assert.deepEqual(parsed(`${CHROME} Edg/142.0.0.0`)[0], 'Edge');
  assert.deepEqual(
    parsed(
      'Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148',
    ),
    ['Apple Mail', 'iOS', '18.6', 'iPhone', 'Apple', true],
  );
  assert.deepEqual(
    parsed('Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)'),
    ['Apple Mail', 'Mac OS X', '10.15.7', 'Mac', 'Apple', false],
  );
  assert.deepEqual(parsed('Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Thunderbird/140.4.0'), [
    'Thunderbird',
    'Linux',
    '',
    '',
    '',
    false,
  ]);
  assert.deepEqual(
    parsed(
      'Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36',
    ),
    ['Chrome', 'Android', '10', '', '', true],
  );
  // The proxy's words are not the reader's.
  assert.deepEqual(
    parsed('Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)'),
    ['Gmail image proxy', '', '', '', '', false],
  );
  assert.deepEqual(parsed('nothing known'), ['', '', '', '', '', false]);
});

test('only the beginning of a user agent is looked at', () => {
  assert.equal(label(`${'x'.repeat(1024)} curl/8`), 'human');
  assert.equal(label('cubot'.repeat(100_000)), 'human');
});

test('every row can be reached', () => {
  for (const row of machineAgents) assert.equal(agentFacts(row.text).engagementClass, row.class, row.text);
});
