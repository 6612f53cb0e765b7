import {
  clientFamilies,
  type EngagementClass,
  type MachineAgent,
  machineAgents,
  notMachines,
  osFamilies,
} from './machine-agents.ts';

export type { EngagementClass } from './machine-agents.ts';

/** What a `User-Agent` says about who fetched; texts are '' when it does not say. */
export interface AgentFacts {
  readonly engagementClass: EngagementClass;
  /** Fetched ahead of any person; reports on opens by people leave it out. */
  readonly isPrefetched: boolean;
  /** Address and device are the proxy's, not the reader's. */
  readonly isProxy: boolean;
  readonly isMobile: boolean;
  readonly agentFamily: string;
  readonly osFamily: string;
  readonly osVersion: string;
  readonly deviceFamily: string;
  readonly deviceBrand: string;
}

/** Longest part of a user agent that is looked at. */
const LONGEST = 1024;

/**
 * Recognises machines by their user agent alone; what takes addresses or behaviour to see is for whoever has them.
 * An empty user agent is a bot's, an unknown one a person's. Linear in the text: a fixed number of searches.
 */
export function agentFacts(userAgent: string): AgentFacts {
  const text = userAgent.slice(0, LONGEST);
  const lower = text.toLowerCase();
  const machine = machineAgents.find((row) => matches(row, text, lower));
  const os = osFamilies.find(({ mark }) => text.includes(mark));
  // A proxy repeats some client's words, not the reader's.
  const own = machine === undefined || machine.class === 'human';
  return {
    engagementClass: text === '' ? 'bot' : (machine?.class ?? 'human'),
    isPrefetched: machine?.isPrefetched ?? false,
    isProxy: machine?.isProxy ?? false,
    isMobile: own && (/\bMobile\b/.test(text) || os?.os === 'Android' || os?.device === 'iPhone'),
    agentFamily: machine?.family ?? clientFamily(text, os?.brand === 'Apple'),
    osFamily: (own && os?.os) || '',
    osVersion: own && os ? versionAfter(text, os.mark) : '',
    deviceFamily: (own && os?.device) || '',
    deviceBrand: (own && os?.brand) || '',
  };
}

function matches({ match, text }: MachineAgent, agent: string, lower: string): boolean {
  if (match === 'is') return agent === text;
  if (match === 'has') return lower.includes(text);
  for (let at = lower.indexOf(text); at >= 0; at = lower.indexOf(text, at + text.length)) {
    const end = at + text.length;
    if (isLetter(lower, end) || (match === 'word' && isLetter(lower, at - 1))) continue;
    if (!notMachines.some((word) => word.endsWith(text) && lower.slice(0, end).endsWith(word))) return true;
  }
  return false;
}

function isLetter(text: string, at: number): boolean {
  const code = text.charCodeAt(at);
  return code >= 0x61 && code <= 0x7a;
}

function clientFamily(agent: string, apple: boolean): string {
  const family = clientFamilies.find(([mark]) => agent.includes(mark))?.[1] ?? '';
  return family === 'Apple Mail' && !apple ? '' : family;
}

function versionAfter(agent: string, mark: string): string {
  const start = agent.indexOf(mark) + mark.length;
  const version = /^\d[\d._]{0,15}/.exec(agent.slice(start, start + 16))?.[0] ?? '';
  return version.replaceAll('_', '.');
}
