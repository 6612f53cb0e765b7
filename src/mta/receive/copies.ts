/**
 * What each recipient of a submission gets: decided once for an ordinary message, for every recipient anew in mail
 * merge, where each is a message of its own (D17.10).
 */
import type { Config, Settings } from '../../config/index.ts';
import type { MessageFacts, StatusFacts } from '../../events/outcome.ts';
import { domainToAscii, parseAddress } from '../../mail/address.ts';
import { Header } from '../../mail/header.ts';
import { decodeWords, firstAddress } from '../../mail/header-text.ts';
import { toJobName } from '../../mail/job-name.ts';
import { partsIn } from '../../mail/mail-merge.ts';
import type { MaybeLater, Reply } from '../../smtp/index.ts';
import type { OwnFacts, StoredRecipient, Window } from '../../spool/stored-message.ts';
import { statusText } from '../accounting/dsn-text.ts';
import { describeStatus } from '../deliver/status.ts';
import type { PoolRotation } from '../route/pool-rotation.ts';
import { rewriteSender } from '../route/rewrite.ts';
import { chooseVmta, chooseVmtaForCopy, type VmtaChoice } from '../route/vmta-choice.ts';
import {
  type ControlFacts,
  controlHeaders,
  toCustomMessageId,
  toEnvId,
  toSubaccount,
} from './control-headers.ts';
import { type HeaderView, mergedView } from './header-view.ts';
import { readPartList } from './mail-merge-session.ts';
import { lengthFor, mayExceed, mergeValues, type Template, textOf, usedValues } from './merge-template.ts';
import { qualified } from './recipient-rules.ts';
import { parseSchedule } from './schedule-windows.ts';
import type { Submission, SubmittedRecipient } from './submission.ts';

/** The facts that a header and the envelope decide; for mail merge they are each recipient's own. */
export type CopyFacts = Omit<OwnFacts, 'size'>;

/** One recipient with all that was decided about its message. */
export interface Copy {
  readonly submitted: SubmittedRecipient;
  /** Completed, not yet expanded by aliases. */
  readonly address: string;
  readonly facts: CopyFacts;
  readonly windows: readonly Window[] | null;
  readonly priority: number;
  readonly refusal: StatusFacts | null;
  /** Null for ordinary mail. */
  readonly merge: StoredRecipient['merge'] | null;
}

export interface CopyQuestion {
  readonly submission: Submission;
  readonly header: Header;
  readonly template: Template | null;
  readonly pools: PoolRotation;
  readonly at: number;
}

/** A Reply when the whole submission must be refused. */
export type Decided = { readonly copies: readonly Copy[]; readonly control: ControlFacts } | Reply;

const LONGEST_SUBJECT = 998;
/** Recipients of a mail merge decided in one turn of the event loop. */
const IN_ONE_TURN = 200;
const LARGEST = 512 * 1024 * 1024;

export function decideCopies(question: CopyQuestion): MaybeLater<Decided> {
  const control = controlOf(question, question.header);
  if ('code' in control) return control;
  return question.template
    ? mergeCopies(question, question.template, control)
    : ordinaryCopies(question, control);
}

function controlOf({ submission, template }: CopyQuestion, header: HeaderView): ControlFacts | Reply {
  const { source, config, client } = submission;
  return controlHeaders({
    header,
    source,
    config,
    user: client.user,
    merge: template !== null,
    ...(submission.origin === 'pickup'
      ? { givenJobId: '', pickupJob: submission.jobId ?? '' }
      : { givenJobId: submission.jobId ?? '' }),
  });
}

/** One that is none stands as it was written, where it is taken only to be bounced. */
function recipientAddress(
  { address, refusal }: SubmittedRecipient,
  config: Config,
  source: Settings<'source'>,
): string {
  const whole = qualified(address, config, source);
  return refusal && !parseAddress(whole) ? address : whole;
}

function ordinaryCopies(question: CopyQuestion, control: ControlFacts): Decided {
  const { submission, header, pools } = question;
  const { config, source, client, sender: given } = submission;
  const recipients = submission.recipients.map((submitted) => ({
    submitted,
    address: recipientAddress(submitted, config, source),
  }));
  const sender = rewriteSender(config, source.get('rewrite-list'), qualified(given.address, config, source));
  const choice = chooseVmta({ config, source, header, sender, recipients, session: client, pools });
  if ('code' in choice) return choice;
  const facts: CopyFacts = {
    ...headerFacts(header),
    sender: rewriteSender(config, vmtaRewriteList(question, choice), sender),
    vmta: choice.vmta,
    pool: choice.pool,
    jobId: control.jobId,
    envId: control.envId || given.envId,
    customMessageId: control.customMessageId,
    subaccountId: control.subaccountId,
  };
  const { windows } = control;
  const copies = recipients.map(({ submitted, address }) => ({
    submitted,
    address,
    facts,
    windows,
    priority: choice.priority,
    refusal: submitted.refusal,
    merge: null,
  }));
  return { copies, control };
}

/** The rewrite list of the VMTA, else of its pool; a VMTA that is not there has none. */
export function vmtaRewriteList(
  { submission }: CopyQuestion,
  { vmta }: Pick<VmtaChoice, 'vmta'>,
): string | null {
  return submission.config.vmtas.get(vmta.toLowerCase())?.settings.get('rewrite-list') ?? null;
}

function headerFacts(
  header: HeaderView,
): Pick<MessageFacts, 'from' | 'fromName' | 'senderDomain' | 'subject'> {
  const from = firstAddress(header.get('from') ?? '');
  const identity = firstAddress(header.get('sender') ?? '') ?? from;
  return {
    from: from?.address ?? '',
    fromName: from?.name ?? '',
    senderDomain: asciiDomain(identity?.address ?? ''),
    subject: decodeWords(header.get('subject') ?? '', LONGEST_SUBJECT),
  };
}

/** Domain of an address in A-labels and lower case; as it stands when it is no valid domain. */
export function asciiDomain(address: string): string {
  const domain = address.slice(address.lastIndexOf('@') + 1);
  return domainToAscii(domain) ?? domain.toLowerCase();
}

// Mail merge

async function mergeCopies(
  question: CopyQuestion,
  template: Template,
  control: ControlFacts,
): Promise<Decided> {
  const { submission } = question;
  const { config, source, sender: given } = submission;
  const list = source.get('rewrite-list');
  const common = rewriteSender(config, list, qualified(given.address, config, source));
  const headers = new TemplateHeaders(template, question.header);
  const copies: Copy[] = [];
  for (const [i, submitted] of submission.recipients.entries()) {
    if (i % IN_ONE_TURN === IN_ONE_TURN - 1) await new Promise((resolve) => setImmediate(resolve));
    const own = submitted.variables.get('*from');
    const sender =
      own === undefined ? common : rewriteSender(config, list, qualified(textOf(own), config, source));
    const copy = mergeCopy(question, template, control, headers, submitted, sender);
    if ('code' in copy) return copy;
    copies.push(copy);
  }
  return { copies, control };
}

function mergeCopy(
  question: CopyQuestion,
  template: Template,
  control: ControlFacts,
  headers: TemplateHeaders,
  submitted: SubmittedRecipient,
  sender: string,
): Copy | Reply {
  const { submission, at } = question;
  const { config, source } = submission;
  const { variables } = submitted;
  const address = recipientAddress(submitted, config, source);
  let refusal = submitted.refusal;
  const refuse = (status: string, text: string) => {
    refusal ??= describeStatus(status, statusText(status), `smtp;550 ${status} ${text}`, config);
  };
  if (sender !== '' && !parseAddress(sender)) refuse('5.1.7', '*from is no address');
  const choice = choiceFor(question, sender, address, variables);
  if ('code' in choice) {
    // What the header or the source chooses concerns all; a variable its own recipient.
    if (!variables.has('*vmta') && !variables.has('*priority')) return choice;
    refuse(choice.enhanced ?? '5.3.5', String(choice.text));
  }
  const { vmta, pool, priority } = 'code' in choice ? NO_CHOICE : choice;

  const order = variables.has('*parts') ? readPartList(variables.get('*parts')!) : null;
  const header = headers.for(order);
  const base = {
    from: rewriteSender(config, vmtaRewriteList(question, { vmta }), sender),
    to: address,
    at,
    vmta: pool || vmta,
    priority,
  };
  const given = mergeValues(variables, {
    ...base,
    envId: toEnvId(textOf(variables.get('*envid') ?? '')),
    jobId: '',
  });
  const view = mergedView(header, given, template.expandUndefined);
  const named = headers.vary || order !== null ? controlOf(question, view) : control;
  if ('code' in named) {
    refuse(named.enhanced ?? '5.6.0', String(named.text));
  }
  const said = 'code' in named ? control : named;
  const envId = toEnvId(textOf(variables.get('*envid') ?? '')) || said.envId || submission.sender.envId;
  const jobId = toJobName(textOf(variables.get('*jobid') ?? '')) || said.jobId;
  const values = mergeValues(variables, { ...base, envId, jobId });

  const schedule = variables.get('*schedule');
  const windows = schedule === undefined ? said.windows : parseSchedule(schedule);
  if (schedule !== undefined && windows === null) refuse('5.6.0', '*schedule is malformed');

  const used = usedValues(values, template);
  const limit = Math.min(source.get('max-message-size'), LARGEST);
  if (order !== null && !partsIn(template.parts, order)) {
    refuse('5.6.0', '*parts names a part that was not sent');
  } else if (mayExceed(template, used, limit) && (lengthFor(template, order, values) ?? 0) > limit) {
    refuse('5.3.4', 'message too big');
  }
  return {
    submitted,
    address,
    facts: {
      ...headerFacts(view),
      sender: base.from,
      vmta,
      pool,
      jobId,
      envId,
      customMessageId:
        toCustomMessageId(textOf(variables.get('*custommessageid') ?? '')) || said.customMessageId,
      subaccountId: toSubaccount(variables.get('*subaccountid') ?? ''),
    },
    windows,
    priority,
    refusal,
    merge: { values: used, parts: order },
  };
}

const NO_CHOICE: VmtaChoice = { vmta: '{default}', pool: '', priority: 50 };

function choiceFor(
  { submission, header, pools }: CopyQuestion,
  sender: string,
  address: string,
  variables: ReadonlyMap<string, string>,
): VmtaChoice | Reply {
  const { config, source, client } = submission;
  // Its own sender is in place already, completed and rewritten.
  const named = new Map(variables);
  named.delete('*from');
  return chooseVmtaForCopy(
    { config, source, header, sender, session: client, pools },
    { address, variables: named },
  );
}

/** The header of a template: of all parts, or of those that a recipient's list begins with. */
class TemplateHeaders {
  /** Whether recipients can differ in what it says. */
  readonly vary: boolean;
  readonly #template: Template;
  readonly #all: Header;
  readonly #known = new Map<string, Header>();

  constructor(template: Template, all: Header) {
    this.#template = template;
    this.#all = all;
    this.vary = template.raw.subarray(0, all.bodyStart).includes(0x5b);
  }

  for(order: readonly number[] | null): Header {
    if (order === null) return this.#all;
    const key = order.slice(0, MOST_HEADER_PARTS).join();
    const known = this.#known.get(key);
    if (known) return known;
    const { raw, parts } = this.#template;
    const pieces = (partsIn(parts, order) ?? [])
      .slice(0, MOST_HEADER_PARTS)
      .map(({ start, end }) => raw.subarray(start, Math.min(end, start + LARGEST_HEADER)));
    const header = new Header(Buffer.concat(pieces));
    if (this.#known.size >= MOST_HEADERS) this.#known.clear();
    this.#known.set(key, header);
    return header;
  }
}

/** Of parts that are put together just to read a header. */
const MOST_HEADER_PARTS = 10;
const LARGEST_HEADER = 256 * 1024;
const MOST_HEADERS = 20;
