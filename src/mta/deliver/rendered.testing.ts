/** A message taken in over SMTP and made ready to go, as the tests of this folder look at it. */
import type { TestContext } from 'node:test';
import type { MessageFacts } from '../../events/outcome.ts';
import { Header } from '../../mail/header.ts';
import type { Envelope } from '../../spool/stored-message.ts';
import { type ContentWork, ContentWorkHere } from '../content/index.ts';
import { folder, keptLog, type ReceptionUnderTest, startReception } from '../testing.ts';
import { DkimSigner } from './dkim-choice.ts';
import { Renderer, type Rendering } from './render.ts';
import { Tracking } from './tracking.ts';

export interface Rendered {
  readonly content: Buffer;
  readonly header: Header;
  readonly facts: MessageFacts;
  /** The tags of its DKIM-Signature fields, from the top. */
  readonly signatures: readonly ReadonlyMap<string, string>[];
}

export interface RenderingUnderTest {
  readonly mta: ReceptionUnderTest;
  readonly logged: string[];
  /** Takes a message in and answers how it goes out to its first recipient. */
  pass(content: string, through?: { domain?: string; vmta?: string }): Promise<Rendered>;
  /** What is stored, opened for a queue. */
  open(envelope: Envelope, content: Buffer, through?: { domain?: string; vmta?: string }): Promise<Rendering>;
}

export async function startRendering(
  t: TestContext,
  config: string,
  work?: ContentWork,
): Promise<RenderingUnderTest> {
  const mta = await startReception(t, config);
  const { log, lines } = keptLog();
  const content = work ?? new ContentWorkHere();
  const inForce = {
    dkim: await DkimSigner.load(mta.config),
    tracking: await Tracking.open(mta.config, folder(t), content, log),
  };
  const renderer = new Renderer(() => inForce, content, mta.clock, log);
  const under: RenderingUnderTest = {
    mta,
    logged: lines,
    async open(envelope, content, { domain = 'a.test', vmta = envelope.facts.vmta } = {}) {
      const settings = mta.config.queue(domain, vmta);
      return await renderer.open({
        envelope,
        content,
        queue: { domain, vmta },
        settings,
        config: mta.config,
      });
    },
    async pass(text, through) {
      const answer = await mta.send({ to: ['kim@a.test'], content: text });
      if (!answer.startsWith('250')) throw new Error(answer);
      const { envelope, content } = mta.stored();
      const copy = await (await under.open(envelope, content, through)).copy(0);
      if (copy.kind !== 'ready') throw new Error(copy.text);
      return rendered(copy.content, copy.facts);
    },
  };
  return under;
}

export function rendered(content: Buffer, facts: MessageFacts): Rendered {
  const header = new Header(content);
  const signatures = header.all('dkim-signature').map((field) => tagsOf(header.value(field)));
  return { content, header, facts, signatures };
}

export function tagsOf(value: string): Map<string, string> {
  const tags = value.replace(/\s+/g, '').split(';');
  return new Map(tags.map((tag) => [tag.slice(0, tag.indexOf('=')), tag.slice(tag.indexOf('=') + 1)]));
}
