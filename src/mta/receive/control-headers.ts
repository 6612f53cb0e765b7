import { type Config, type Settings, sourceTracking } from '../../config/index.ts';
import type { Header } from '../../mail/header.ts';
import { toJobName } from '../../mail/job-name.ts';
import type { Envelope } from '../../spool/stored-message.ts';

/** What the message itself asks for, as far as its source may ask (delivery guide, section 16). */
export interface ControlFacts {
  readonly jobId: string;
  readonly envId: string;
  /** 0 when none was named, or not validly. */
  readonly subaccountId: number;
  readonly customMessageId: string;
  /** Headers that do not go out. */
  readonly remove: readonly string[];
  /** What the stored message keeps for its delivery. */
  readonly atDelivery: Pick<
    Envelope,
    'dateAtDelivery' | 'tellVmta' | 'dkimOptions' | 'dkimKey' | 'sourceTracking'
  >;
}

const LARGEST_SUBACCOUNT = 2 ** 31 - 1;
const LONGEST_CUSTOM_ID = 512;

export function controlHeaders(header: Header, source: Settings<'source'>, config: Config): ControlFacts {
  const remove: string[] = [...source.get('remove-header')];
  const processed = (name: string, process: boolean, retain: boolean): string => {
    if (!process) return '';
    if (!retain) remove.push(name);
    return header.get(name)?.trim() ?? '';
  };
  const jobHeader = source.get('jobid-header');
  const xJob = processed('X-Job', source.get('process-x-job'), source.get('retain-x-job'));
  const job = xJob || (jobHeader ? (header.get(jobHeader)?.trim() ?? '') : '');
  processed('X-Virtual-MTA', source.get('process-x-virtual-mta'), source.get('retain-x-virtual-mta'));
  const envId = processed('X-Envid', source.get('process-x-envid'), false);

  const dkim = source.get('process-x-dkim-options');
  processed('X-DKIM-Options', dkim, source.get('retain-x-dkim-options'));
  const date = source.get('date-header-time') === 'delivery' ? source.get('add-date-header') : 'no';
  const dkimOptions = dkim ? header.get('X-DKIM-Options') : null;
  const dkimKey = source.get('process-x-dkim-key') ? header.get('X-DKIM-Key') : null;
  const tracking = sourceTracking(source);
  const atDelivery: ControlFacts['atDelivery'] = {
    ...(date === 'no' ? {} : { dateAtDelivery: date === 'override' ? 'override' : 'missing' }),
    ...(source.get('add-x-virtual-mta-header') ? { tellVmta: true } : {}),
    ...(dkimOptions === null ? {} : { dkimOptions }),
    ...(dkimKey === null ? {} : { dkimKey }),
    ...(tracking.length > 0 ? { sourceTracking: tracking } : {}),
  };
  // Processed or not: a private key leaves only on request.
  if (!source.get('retain-x-dkim-key')) remove.push('X-DKIM-Key');
  if (!source.get('retain-x-schedule')) remove.push('X-Schedule');

  const { signals } = config;
  let subaccountId = 0;
  let customMessageId = '';
  if (signals) {
    const named = processed(
      'X-SP-Subaccount-Id',
      signals.get('process-x-sp-subaccount-id'),
      signals.get('retain-x-sp-subaccount-id'),
    );
    if (/^[1-9]\d{0,9}$/.test(named) && Number(named) <= LARGEST_SUBACCOUNT) subaccountId = Number(named);
    const idHeader = signals.get('custom-message-id-header');
    const id = idHeader ? (header.get(idHeader)?.trim() ?? '') : '';
    if (id.length <= LONGEST_CUSTOM_ID && /^[ -~]*$/.test(id)) customMessageId = id;
  }
  return {
    jobId: job === '' ? '' : toJobName(job),
    envId,
    subaccountId,
    customMessageId,
    remove,
    atDelivery,
  };
}
