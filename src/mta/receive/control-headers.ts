import type { Config, Settings } from '../../config/index.ts';
import type { Header } from '../../mail/header.ts';
import { toJobName } from '../../mail/job-name.ts';

/** What the message itself asks for, as far as its source may ask (delivery guide, section 16). */
export interface ControlFacts {
  readonly jobId: string;
  readonly envId: string;
  /** 0 when none was named, or not validly. */
  readonly subaccountId: number;
  readonly customMessageId: string;
  /** Headers that do not go out. */
  readonly remove: readonly string[];
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
  return { jobId: job === '' ? '' : toJobName(job), envId, subaccountId, customMessageId, remove };
}
