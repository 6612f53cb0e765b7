/**
 * Messages on their way from the thread that received them to the main thread, which decides about them, stores them and
 * says what became of each. All that a turn of the event loop has received goes in one piece, and so do the answers: to
 * wake a thread costs more than what it is woken for.
 */
import type { Config } from '../../../config/index.ts';
import type { SourceQuery } from '../../../config/source-blocks.ts';
import { SpoolWriteError } from '../../../spool/spool-write-error.ts';
import { atTurnEnd } from '../../../system/event-loop.ts';
import {
  type MergeVariables,
  NO_VARIABLES,
  type Submission,
  type SubmittedRecipient,
  type TakeMessage,
  type Verdict,
} from '../submission.ts';

/** A submission without its contents, and with names in place of what each thread has for itself. */
interface HandedMessage {
  readonly message: number;
  readonly config: number;
  readonly source: SourceQuery;
  readonly client: Submission['client'];
  readonly sender: Submission['sender'];
  readonly recipients: readonly HandedRecipient[];
  readonly merge: boolean;
  readonly addedFields: readonly string[] | undefined;
  readonly parts: readonly { readonly number: number; readonly size: number }[];
}

type HandedRecipient = Omit<SubmittedRecipient, 'variables'> & { readonly variables?: MergeVariables };

export interface HandedOver {
  readonly kind: 'mail';
  readonly messages: readonly HandedMessage[];
  /** Contents up to `LARGE` octets, one behind the other in the order of the messages and their parts. */
  readonly small: Uint8Array<ArrayBuffer>;
  /** The others, in the same order. */
  readonly large: readonly Uint8Array<ArrayBuffer>[];
}

export type Judged =
  | { readonly message: number; readonly verdict: Verdict }
  /** `disk`: it could not be stored, and the sender may try again. */
  | { readonly message: number; readonly failed: string; readonly disk: boolean };

/** Larger contents are handed over as they are, smaller ones are copied into one piece of memory. */
const LARGE = 64 * 1024;

interface Waiting {
  readonly done: (verdict: Verdict) => void;
  readonly failed: (error: Error) => void;
}

/** The end that receives messages. */
export class HandOver {
  readonly #say: (batch: HandedOver, transfer: ArrayBuffer[]) => void;
  readonly #configNumber: (config: Config) => number;
  readonly #waiting = new Map<number, Waiting>();
  #messages: HandedMessage[] = [];
  #small: Buffer[] = [];
  #smallBytes = 0;
  #large: Uint8Array<ArrayBuffer>[] = [];
  #last = 0;

  constructor(
    say: (batch: HandedOver, transfer: ArrayBuffer[]) => void,
    configNumber: (config: Config) => number,
  ) {
    this.#say = say;
    this.#configNumber = configNumber;
  }

  /** Large contents are gone from this thread when this returns. */
  readonly take: TakeMessage = (submission) => {
    const { config, client, listener, sender, recipients, merge, addedFields } = submission;
    const message = ++this.#last;
    if (this.#messages.length === 0) atTurnEnd(() => this.#send());
    const user = client.user === null ? undefined : config.users.get(client.user);
    this.#messages.push({
      message,
      config: this.#configNumber(config),
      source: {
        clientIp: client.remoteAddress,
        listenerSource: listener?.source ?? null,
        userSource: user?.source ?? null,
      },
      client,
      sender,
      recipients: recipients.map(handedRecipient),
      merge,
      addedFields,
      parts: submission.parts.map(({ number, content }) => ({ number, size: content.length })),
    });
    for (const { content } of submission.parts) {
      if (content.length > LARGE) this.#large.push(alone(content));
      else {
        this.#small.push(content);
        this.#smallBytes += content.length;
      }
    }
    const { promise, resolve, reject } = Promise.withResolvers<Verdict>();
    this.#waiting.set(message, { done: resolve, failed: reject });
    return promise;
  };

  judged(messages: readonly Judged[]): void {
    for (const judged of messages) {
      const waiting = this.#waiting.get(judged.message);
      this.#waiting.delete(judged.message);
      if ('verdict' in judged) waiting?.done(judged.verdict);
      else waiting?.failed(judged.disk ? new SpoolWriteError(judged.failed) : new Error(judged.failed));
    }
  }

  #send(): void {
    const small = new Uint8Array(this.#smallBytes);
    let at = 0;
    for (const content of this.#small) {
      small.set(content, at);
      at += content.length;
    }
    const batch: HandedOver = { kind: 'mail', messages: this.#messages, small, large: this.#large };
    this.#say(batch, [small.buffer, ...this.#large.map(({ buffer }) => buffer)]);
    this.#messages = [];
    this.#small = [];
    this.#smallBytes = 0;
    this.#large = [];
  }
}

/** The end that takes responsibility for messages, by `takeMessage`. */
export class TakeOver {
  readonly #takeMessage: TakeMessage;
  readonly #config: (number: number) => Config;
  readonly #say: (judged: readonly Judged[]) => void;
  #judged: Judged[] = [];

  constructor(
    takeMessage: TakeMessage,
    config: (number: number) => Config,
    say: (judged: readonly Judged[]) => void,
  ) {
    this.#takeMessage = takeMessage;
    this.#config = config;
    this.#say = say;
  }

  take(batch: HandedOver): void {
    const small = Buffer.from(batch.small.buffer);
    const large = batch.large.values();
    let at = 0;
    for (const { message, config: number, source, parts, recipients, ...rest } of batch.messages) {
      const config = this.#config(number);
      const contents = parts.map(({ number, size }) => {
        if (size > LARGE) return { number, content: Buffer.from(large.next().value!.buffer) };
        at += size;
        return { number, content: small.subarray(at - size, at) };
      });
      const submission: Submission = {
        origin: 'smtp',
        ...rest,
        config,
        source: config.sources.settings(source),
        recipients: recipients.map(submittedRecipient),
        parts: contents,
      };
      this.#takeMessage(submission).then(
        (verdict) => this.#answer({ message, verdict }),
        (error: Error) => {
          const disk = error instanceof SpoolWriteError;
          this.#answer({ message, failed: disk ? error.message : (error.stack ?? String(error)), disk });
        },
      );
    }
  }

  #answer(judged: Judged): void {
    if (this.#judged.length === 0) atTurnEnd(() => this.#send());
    this.#judged.push(judged);
  }

  #send(): void {
    const judged = this.#judged;
    this.#judged = [];
    this.#say(judged);
  }
}

function handedRecipient({ variables, ...rest }: SubmittedRecipient): HandedRecipient {
  return variables.size === 0 ? rest : { ...rest, variables };
}

function submittedRecipient({ variables = NO_VARIABLES, ...rest }: HandedRecipient): SubmittedRecipient {
  return { ...rest, variables };
}

/** In memory that holds nothing else, so that it can be handed over. */
function alone(content: Buffer): Uint8Array<ArrayBuffer> {
  const { buffer, byteLength } = content;
  return buffer.byteLength === byteLength && buffer instanceof ArrayBuffer
    ? new Uint8Array(buffer)
    : new Uint8Array(content);
}
