import { botAgent, gmailProxyAgent, personAgent, prefetchAgent, scannerAgent } from './agents.ts';
import { draw, logNormal } from './draw.ts';
import { type HtmlLinks, isUnsubscribeLink } from './html-links.ts';
import { decideFate, type Fate, leftAlone, type Rates } from './model.ts';
import type { ActionKind, Actor, PlannedAction } from './records.ts';
import type { Provider } from './replies.ts';
import type { Selection } from './selection.ts';

/** What the planner must know about an accepted message. */
export interface PlanInput {
  readonly selection: Selection;
  readonly rates: Rates;
  readonly seed: number;
  /** Names the message and recipient in all draws. */
  readonly fingerprint: string;
  /** One entry for each HTML part; asked for only when somebody will look at it. */
  readonly html: () => readonly HtmlLinks[];
  /** The https or http URI for one-click unsubscription; '' if the message offers none. */
  readonly oneClick: string;
  /** Whether a URL may be fetched at all: it belongs to a tracker, or might. */
  readonly mayFetch: (url: string) => boolean;
  readonly now: number;
  /** Divides all waits; 0 acts as soon as the sender has its answer. */
  readonly timeScale: number;
}

export interface Plan {
  readonly actions: readonly PlannedAction[];
  readonly trap: boolean;
  readonly foreignImages: number;
  readonly foreignLinks: number;
}

/** Milliseconds, never scaled: nobody acts on mail before its sender knows that it arrived. */
const EARLIEST = 250;
/** Milliseconds of real time between two fetches of one URL by one client. */
const LEAST_REPEAT = 5000;
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** Decides what people and machines will do with a message: in full, at once, so that it can be written down. */
export function makePlan(input: PlanInput): Plan {
  const { selection, seed, fingerprint } = input;
  const { commands } = selection;
  const question = (purpose: string) => draw(seed, commands.seed || fingerprint, purpose);
  const fate = fateOf(selection, providerRates(input.rates, selection.provider), question);
  const planner = new Planner(input, question);
  if (commands.oob) planner.sendBack('oob', commands.oob, 10 * MINUTE);
  else if (fate.oob) planner.sendBack('oob', oobVariant(selection), oobDelay(selection));
  if (fate.scanner) planner.scan();
  if (fate.prefetch) planner.prefetch();
  const opens = commands.opens ?? fate.opens;
  const clicks = commands.clicks ?? fate.clicks;
  planner.read(opens, clicks, readerAgent(selection, question), selection.label === 'click');
  if (selection.label === 'bot') planner.preview();
  if (selection.label === 'unsub' || fate.unsubscribe) planner.unsubscribe();
  if (selection.label === 'unsub-link') planner.unsubscribeByLink();
  if (commands.fbl || fate.fbl) planner.sendBack('fbl', commands.fbl || 'abuse', 3 * HOUR);
  if (selection.label === 'autoreply') planner.sendBack('autoreply', '', MINUTE);
  return planner.plan(fate.trap);
}

/** Labels that name a behaviour decide alone; only `mix` and `openclick` leave something to chance. */
function fateOf(selection: Selection, rates: Rates, question: (purpose: string) => number): Fate {
  switch (selection.label) {
    case 'mix': {
      const fate = decideFate(rates, question);
      // These two run no feedback loop that names recipients.
      const silent = selection.provider === 'gmail' || selection.provider === 'apple';
      return silent ? { ...fate, fbl: false } : fate;
    }
    case 'openclick': {
      const part = (inner: number, outer: number, purpose: string) =>
        outer > 0 && question(purpose) * outer < inner;
      const clicked = part(rates.click, rates.open, 'click');
      return {
        ...leftAlone,
        opens: part(rates.openAgain, rates.open, 'open-again') ? 2 : 1,
        clicks: clicked ? (part(rates.clickAgain, rates.click, 'click-again') ? 2 : 1) : 0,
      };
    }
    case 'oob':
    case 'oob-late':
    case 'oob-noorig':
    case 'oob-headers':
    case 'oob-text':
      return { ...leftAlone, oob: true };
    case 'fbl':
      return { ...leftAlone, fbl: true };
    case 'open':
    case 'gmailproxy':
      return { ...leftAlone, opens: 1 };
    case 'click':
      return { ...leftAlone, opens: 1, clicks: 1 };
    case 'mpp':
      return { ...leftAlone, prefetch: true };
    case 'scanner':
      return { ...leftAlone, scanner: true };
    case 'trap':
      return { ...leftAlone, trap: true };
    default:
      return leftAlone;
  }
}

/** Machines differ more between providers than people do. Rates of 0 stay 0: then no machines are wanted at all. */
function providerRates(rates: Rates, provider: Provider): Rates {
  const prefetch = rates.prefetch > 0;
  const scanner = rates.scanner > 0;
  switch (provider) {
    case 'apple':
      return { ...rates, prefetch: prefetch ? 90 : 0 };
    case 'gmail':
      return { ...rates, prefetch: prefetch ? 5 : 0 };
    case 'microsoft':
    case 'microsoft365':
      return { ...rates, scanner: scanner ? 30 : 0 };
    case 'corporate':
      return { ...rates, scanner: scanner ? 60 : 0 };
    default:
      return rates;
  }
}

function readerAgent(selection: Selection, question: (purpose: string) => number): string {
  const { agent } = selection.commands;
  if (agent) return personAgent(question('agent'), agent);
  if (selection.label === 'gmailproxy') return gmailProxyAgent;
  return personAgent(question('agent'));
}

function oobVariant(selection: Selection): string {
  switch (selection.label) {
    case 'oob-noorig':
      return '5.1.1 noorig';
    case 'oob-headers':
      return '5.1.1 headers';
    case 'oob-text':
      return '5.1.1 text';
    default:
      return '5.1.1';
  }
}

function oobDelay(selection: Selection): number {
  return selection.label === 'oob-late' ? HOUR : 10 * MINUTE;
}

/** Collects actions, with waits that grow along each line of events. */
class Planner {
  readonly #input: PlanInput;
  readonly #question: (purpose: string) => number;
  readonly #actions: PlannedAction[] = [];
  #foreignImages = 0;
  #foreignLinks = 0;
  #html: readonly HtmlLinks[] | undefined;

  constructor(input: PlanInput, question: (purpose: string) => number) {
    this.#input = input;
    this.#question = question;
  }

  plan(trap: boolean): Plan {
    // A stable sort: actions of one instant keep the order in which a reader's client makes them.
    const actions = [...this.#actions].sort((a, b) => a.due - b.due);
    return { actions, trap, foreignImages: this.#foreignImages, foreignLinks: this.#foreignLinks };
  }

  sendBack(kind: 'oob' | 'fbl' | 'autoreply', how: string, median: number): void {
    const wait = this.#input.selection.commands.after ?? this.#wait(median, 1, kind);
    this.#add(kind, 'person', wait, '', how);
  }

  /** A person opens `opens` times, and clicks `clicks` times: each link if `all`, else one or two of them. */
  read(opens: number, clicks: number, agent: string, all: boolean): void {
    let at = this.#input.selection.commands.after ?? this.#wait(40 * MINUTE, 1.2, 'first-open');
    for (let i = 0; i < opens; i++) {
      this.#images('person', at, agent, i === 0);
      if (i + 1 < opens) at += this.#wait(6 * HOUR, 1, `open-gap-${i}`);
    }
    if (clicks === 0) return;
    const browser = agent === gmailProxyAgent ? personAgent(this.#question('browser')) : agent;
    const links = this.#chosen(this.#links(true), all);
    for (let i = 0; i < clicks; i++) {
      at += 5 * SECOND + this.#question(`click-wait-${i}`) * 115 * SECOND;
      links.forEach((url, n) => {
        this.#add('click', 'person', at + n * 3 * SECOND, url, browser);
      });
    }
  }

  prefetch(): void {
    this.#images('prefetch', this.#wait(10 * MINUTE, 1, 'prefetch-wait'), prefetchAgent, false);
  }

  /** A security gateway follows every link as soon as the message is there, and shows no pictures. */
  scan(): void {
    for (const url of this.#links(false)) this.#add('click', 'scanner', 2 * SECOND, url, scannerAgent);
  }

  preview(): void {
    const url = this.#links(false)[0];
    if (url) this.#add('click', 'bot', MINUTE, url, botAgent);
  }

  unsubscribe(): void {
    const { oneClick, mayFetch } = this.#input;
    if (!oneClick) return;
    if (!mayFetch(oneClick)) {
      this.#foreignLinks++;
      return;
    }
    const wait = this.#wait(HOUR, 1, 'unsubscribe-wait');
    this.#add('unsubscribe', 'person', wait, oneClick, personAgent(this.#question('agent')));
  }

  unsubscribeByLink(): void {
    const links = this.#parts().flatMap((part) => part.links.filter(isUnsubscribeLink));
    const first = links[0];
    if (!first) return;
    if (!this.#input.mayFetch(first.url)) {
      this.#foreignLinks++;
      return;
    }
    this.#add(
      'click',
      'person',
      this.#wait(HOUR, 1, 'unsubscribe-wait'),
      first.url,
      personAgent(this.#question('agent')),
    );
  }

  #images(who: Actor, wait: number, agent: string, countForeign: boolean): void {
    for (const part of this.#parts()) {
      const ours = part.images.filter(this.#input.mayFetch);
      if (countForeign) this.#foreignImages += part.images.length - ours.length;
      // The tracker puts one pixel at the top and one at the end; alone, it is the one at the end.
      const pixels = ours.length;
      ours.forEach((url, n) => {
        this.#add(n === 0 && pixels > 1 ? 'initial_open' : 'open', who, wait, url, agent);
      });
    }
  }

  /** Links of all parts that may be fetched and do not leave the list. */
  #links(countForeign: boolean): string[] {
    const web = this.#parts().flatMap((part) => part.links.filter((link) => /^https?:/i.test(link.url)));
    const ours = web.filter((link) => this.#input.mayFetch(link.url));
    if (countForeign) this.#foreignLinks += web.length - ours.length;
    return ours.filter((link) => !isUnsubscribeLink(link)).map((link) => link.url);
  }

  #chosen(links: readonly string[], all: boolean): readonly string[] {
    const position = Number(this.#input.selection.commands.link);
    if (position >= 1) return links.slice(position - 1, position);
    if (all || links.length < 2) return links;
    const first = Math.floor(this.#question('which-link') * links.length);
    const second = Math.floor(this.#question('second-link') * links.length * 3);
    return links.filter((_, n) => n === first || n === second);
  }

  #parts(): readonly HtmlLinks[] {
    this.#html ??= this.#input.html();
    return this.#html;
  }

  #wait(median: number, sigma: number, purpose: string): number {
    return logNormal(median, sigma, this.#question(purpose));
  }

  #add(kind: ActionKind, who: Actor, wait: number, url: string, how: string): void {
    const { now, timeScale } = this.#input;
    let due = now + Math.max(EARLIEST, timeScale > 0 ? Math.round(wait / timeScale) : 0);
    // However time is scaled, nobody looks twice within the seconds in which a tracker takes two requests for one.
    for (const before of this.#actions) {
      if (before.url === url && before.how === how && url !== '')
        due = Math.max(due, before.due + LEAST_REPEAT);
    }
    this.#actions.push({ kind, who, due, url, how });
  }
}
