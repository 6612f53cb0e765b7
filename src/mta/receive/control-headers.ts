/** What a message itself asks for in its header, as far as its source lets it (delivery guide, section 16). */
import { type Config, type Settings, sourceTracking } from '../../config/index.ts';
import { toJobName } from '../../mail/job-name.ts';
import { type Reply, reply } from '../../smtp/index.ts';
import type { Envelope, Window } from '../../spool/stored-message.ts';
import type { HeaderView } from './header-view.ts';
import { type InjectedFacts, readApiHeader } from './msys-api-header.ts';
import { parseSchedule } from './schedule-windows.ts';

export interface ControlFacts {
  readonly jobId: string;
  readonly envId: string;
  /** 0 when none was named, or not validly. */
  readonly subaccountId: number;
  /** The header named one that cannot be used. */
  readonly subaccountFault: string;
  readonly customMessageId: string;
  /** X-Schedule; null when there is none, or it is not processed. */
  readonly windows: readonly Window[] | null;
  /** Headers that do not go out. */
  readonly remove: readonly string[];
  /** What X-MSYS-API says; null when there is none, or it is not processed. */
  readonly injected: InjectedFacts | null;
  /** What the stored message keeps for its delivery. */
  readonly atDelivery: Pick<
    Envelope,
    'dateAtDelivery' | 'tellVmta' | 'dkimOptions' | 'dkimKey' | 'sourceTracking'
  >;
}

export interface ControlQuestion {
  readonly header: HeaderView;
  readonly source: Settings<'source'>;
  readonly config: Config;
  /** SMTP AUTH user, for `{auth}` in `jobid-prefix`. */
  readonly user: string | null;
  readonly merge: boolean;
  /** `campaign_id` of the HTTP API; '' when none. */
  readonly givenJobId: string;
  /** `x-job` of a pickup file, which `jobid-prefix` goes before; '' when none. */
  readonly pickupJob?: string;
}

const LARGEST_SUBACCOUNT = 2 ** 31 - 1;
const LONGEST_CUSTOM_ID = 512;
/** As ENVID of MAIL may be (RFC 3461 section 4.4). */
const LONGEST_ENVID = 100;

/** A Reply when the message must be refused for what a header says. */
export function controlHeaders(question: ControlQuestion): ControlFacts | Reply {
  const { header, source, config, merge } = question;
  const remove: string[] = [...source.get('remove-header')];
  const value = (name: string) => header.get(name)?.trim() ?? '';
  const processed = (name: string, process: boolean, retain: boolean): string => {
    if (!process) return '';
    if (!retain) remove.push(name);
    return value(name);
  };
  const injected = source.get('process-x-msys-api') ? readApiHeader(header.get('X-MSYS-API')) : null;
  if (injected && 'code' in injected) return injected;
  if (source.get('process-x-msys-api')) remove.push('X-MSYS-API');

  const jobId = jobName(question, processed, injected?.campaignId ?? '');
  processed('X-Virtual-MTA', source.get('process-x-virtual-mta'), source.get('retain-x-virtual-mta'));
  const envId = toEnvId(processed('X-Envid', source.get('process-x-envid'), false));

  const schedule = source.get('process-x-schedule') ? header.get('X-Schedule') : null;
  const windows = schedule === null ? null : parseSchedule(schedule);
  if (schedule !== null && windows === null) {
    return reply(550, '5.6.0', 'X-Schedule is malformed: START / END, times as YYYY-MM-DD HH:MM:SS');
  }
  // Processed or not, as the guide says of both; a private key leaves only on request.
  if (!source.get('retain-x-dkim-key')) remove.push('X-DKIM-Key');
  if (!source.get('retain-x-schedule')) remove.push('X-Schedule');
  const signing = source.get('process-x-dkim-options');
  processed('X-DKIM-Options', signing, source.get('retain-x-dkim-options'));

  const { signals } = config;
  let subaccountId = 0;
  let subaccountFault = '';
  let customMessageId = '';
  if (signals) {
    const named = processed(
      'X-SP-Subaccount-Id',
      signals.get('process-x-sp-subaccount-id'),
      signals.get('retain-x-sp-subaccount-id'),
    );
    // In mail merge only the variable counts.
    if (!merge && named !== '') {
      subaccountId = toSubaccount(named);
      if (subaccountId === 0) subaccountFault = named.slice(0, 100);
    }
    const idHeader = signals.get('custom-message-id-header');
    customMessageId = toCustomMessageId(idHeader ? value(idHeader) : '');
  }
  return {
    jobId,
    envId,
    subaccountId,
    subaccountFault,
    customMessageId,
    windows,
    remove,
    injected,
    atDelivery: atDelivery(question, signing),
  };
}

/** The first that names one: the HTTP API, X-MSYS-API, x-job of a pickup file, X-Job, `jobid-header`. */
function jobName(
  { header, source, user, givenJobId, pickupJob }: ControlQuestion,
  processed: (name: string, process: boolean, retain: boolean) => string,
  campaign: string,
): string {
  const xJob = processed('X-Job', source.get('process-x-job'), source.get('retain-x-job'));
  const prefix = (source.get('jobid-prefix') ?? '').replaceAll('{auth}', () => user ?? '');
  const named = pickupJob || xJob;
  const jobHeader = source.get('jobid-header');
  const other = jobHeader ? (header.get(jobHeader)?.trim() ?? '') : '';
  return toJobName(givenJobId || campaign || (named === '' ? '' : prefix + named) || other);
}

function atDelivery(
  { header, source, merge }: ControlQuestion,
  signing: boolean,
): ControlFacts['atDelivery'] {
  // Mail merge writes its own date, with [*date].
  const time = source.get('date-header-time') === 'delivery' && !merge;
  const date = time ? source.get('add-date-header') : 'no';
  const dkimOptions = signing ? header.get('X-DKIM-Options') : null;
  const dkimKey = source.get('process-x-dkim-key') ? header.get('X-DKIM-Key') : null;
  const tracking = sourceTracking(source);
  return {
    ...(date === 'no' ? {} : { dateAtDelivery: date === 'override' ? 'override' : 'missing' }),
    ...(source.get('add-x-virtual-mta-header') ? { tellVmta: true } : {}),
    ...(dkimOptions === null ? {} : { dkimOptions }),
    ...(dkimKey === null ? {} : { dkimKey }),
    ...(tracking.length > 0 ? { sourceTracking: tracking } : {}),
  };
}

/** An unsigned number above zero, or 0 for what is none. */
export function toSubaccount(text: string): number {
  const number = /^[1-9]\d{0,9}$/.test(text) ? Number(text) : 0;
  return number <= LARGEST_SUBACCOUNT ? number : 0;
}

/** Printable ASCII of at most 512 characters, or '' for what is none. */
export function toCustomMessageId(text: string): string {
  return text.length <= LONGEST_CUSTOM_ID && /^[ -~]*$/.test(text) ? text : '';
}

/** An envelope id as MAIL could have given it; '' for what is none. */
export function toEnvId(text: string): string {
  return text.length <= LONGEST_ENVID && /^[ -~]*$/.test(text) ? text : '';
}
