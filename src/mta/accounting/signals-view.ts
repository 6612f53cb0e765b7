import { type CheckpointedEventFiles, openCheckpointedEventFiles } from '../../connector/event-files.ts';
import { eventIds } from '../../events/event-id.ts';
import { type EventOptions, eventOf } from '../../events/from-outcome.ts';
import type { Outcome, OutcomeView } from '../../events/outcome.ts';
import type { Clock } from '../../system/clock.ts';
import type { Log } from '../../system/log.ts';

/** Whether an outcome is reported to Signals, and under which subaccount (0: the main account). */
export interface SignalsDecision {
  readonly send: boolean;
  readonly subaccount: number;
}

export interface SignalsViewOptions {
  /** Folder of the event files; the uploader takes them from there. */
  readonly dir: string;
  /** Host name of this MTA. */
  readonly nodeName: string;
  readonly privacy: 'retain' | 'sha1';
  /** `enable-signals`, filters and subaccounts: the configuration's answer. */
  readonly decide: (outcome: Outcome) => SignalsDecision;
  readonly sendingIp?: EventOptions['sendingIp'];
  readonly maxAgeMs?: number;
  readonly maxBytes?: number;
}

export interface SignalsViewSetting {
  readonly clock: Clock;
  readonly log: Log;
  /** Names the journal; event ids come from it, so it must change when sequence numbers begin anew. */
  readonly owner: string;
}

/**
 * Outcomes as event files for Signals. The same outcome always gives the same line with the same id, so a line that
 * is told again after a crash is either not written again or recognised by ingest.
 */
export function createSignalsView(options: SignalsViewOptions, setting: SignalsViewSetting): OutcomeView {
  const eventId = eventIds(setting.owner);
  const { nodeName, privacy } = options;
  const sendingIp = options.sendingIp ? { sendingIp: options.sendingIp } : {};
  let files: CheckpointedEventFiles | null = null;
  const opened = () => {
    if (!files) throw new Error('the event files are not open');
    return files;
  };
  return {
    name: 'signals',
    async open(checkpoint) {
      await files?.abandon();
      files = null;
      files = await openCheckpointedEventFiles({ ...options, ...setting }, checkpoint);
      return 0;
    },
    write(seq, outcome) {
      const to = opened();
      const { send, subaccount } = options.decide(outcome);
      if (!send) return;
      const line = eventOf(outcome, seq, { eventId, nodeName, privacy, subaccount, ...sendingIp });
      if (line) to.add(JSON.stringify(line));
    },
    flush: async () => opened().flush(),
    async close() {
      await files?.close();
      files = null;
    },
  };
}
