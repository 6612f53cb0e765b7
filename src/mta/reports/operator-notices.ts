/** Mails to operators: `backoff-notify`, `disabled-source-ip-notify`, and to the `postmaster` about the server itself. */
import type { Config } from '../../config/index.ts';
import { dateHeader, headerField, messageId } from '../../mail/header.ts';
import { fromField, plainMail, reportField, textPart, toField } from '../../mail/report-writer.ts';
import type { Spool } from '../../spool/spool.ts';
import type { PendingRecipient } from '../../spool/stored-message.ts';
import type { Clock } from '../../system/clock.ts';
import type { Log } from '../../system/log.ts';
import type { OwnMailMaker } from './own-mail.ts';

export interface OperatorNoticesDeps {
  readonly config: () => Config;
  readonly spool: Spool;
  readonly mail: OwnMailMaker;
  readonly enqueue: (recipients: readonly PendingRecipient[]) => void;
  readonly clock: Clock;
  readonly log: Log;
}

/** A domain that answers badly can change the modes of thousands of queues: so many mails an hour, the rest is logged. */
const MOST_PER_HOUR = 100;
const HOUR_MS = 3_600_000;

interface QueueName {
  readonly name: string;
  readonly domain: string;
  readonly vmta: string;
}

export class OperatorNotices {
  readonly #deps: OperatorNoticesDeps;
  #hour = 0;
  #sent = 0;

  constructor(deps: OperatorNoticesDeps) {
    this.#deps = deps;
  }

  mode(queue: QueueName, mode: 'normal' | 'backoff', why: string): void {
    const what = mode === 'backoff' ? 'has entered backoff mode' : 'has left backoff mode';
    const to = this.#deps.config().queue(queue.domain, queue.vmta).get('backoff-notify');
    this.#send('backoff-notify', to, `Queue ${queue.name} ${what}`, [`Reason: ${why}`]);
  }

  source(queue: QueueName, address: string, disabled: boolean, why: string, until: number | null): void {
    const back = until === null ? 'until it is enabled by command' : `until ${dateHeader(until)}`;
    const to = this.#deps.config().queue(queue.domain, queue.vmta).get('disabled-source-ip-notify');
    this.#send(
      'disabled-source-ip-notify',
      to,
      `Source ${address} is ${disabled ? 'disabled' : 'enabled'} for queue ${queue.name}`,
      [`Reason: ${why}`, ...(disabled ? [`It is not used for this queue ${back}.`] : [])],
    );
  }

  /** Something is wrong with the server as a whole. */
  trouble(subject: string, lines: readonly string[]): void {
    this.#send('postmaster', this.#deps.config().global.get('postmaster'), subject, lines);
  }

  #send(directive: string, to: readonly string[], subject: string, lines: readonly string[]): void {
    const { spool, mail, enqueue, clock, log } = this.#deps;
    if (to.length === 0) return;
    const now = clock.now();
    if (now - this.#hour >= HOUR_MS) {
      this.#hour = now;
      this.#sent = 0;
    }
    if (++this.#sent > MOST_PER_HOUR) {
      if (this.#sent === MOST_PER_HOUR + 1)
        log.warn(`${directive}: more than ${MOST_PER_HOUR} mails in an hour; see the log`);
      return;
    }
    const spoolId = mail.newSpoolId();
    const content = plainMail(
      [
        headerField('Date', dateHeader(now)),
        fromField(`Mail Delivery System <postmaster@${mail.hostName}>`),
        toField(to[0]!),
        reportField('Subject', subject),
        headerField('Message-ID', messageId(spoolId, mail.hostName)),
        'Auto-Submitted: auto-generated\r\n',
      ],
      textPart([`${subject}.`, ...lines.map((line) => line.slice(0, 900)), ''].join('\r\n')),
    );
    const { message, outcomes } = mail.make({
      spoolId,
      sender: '',
      recipients: to,
      content,
      vmta: '{default}',
    });
    spool.settle([], outcomes, [message]).then(
      () => enqueue(message.recipients),
      (error: Error) => log.error(`${directive}: a mail could not be stored: ${error.message}`),
    );
  }
}
