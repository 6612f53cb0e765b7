/** Event files for Signals as the configuration describes them. */
import type { Config } from '../../config/index.ts';
import type { Outcome, OutcomeView } from '../../events/outcome.ts';
import { createSignalsView, type SignalsDecision, type SignalsViewSetting } from './signals-view.ts';

/** The view behind `<signals>`; null when the configuration has none. */
export function signalsViewFromConfig(
  config: () => Config,
  files: { readonly dir: string; readonly nodeName: string },
  setting: SignalsViewSetting,
): OutcomeView | null {
  const { signals } = config();
  if (!signals) return null;
  return createSignalsView(
    {
      ...files,
      privacy: signals.get('privacy-policy') === 'sha1' ? 'sha1' : 'retain',
      decide: (outcome) => decide(config(), outcome),
    },
    setting,
  );
}

/** Whether an outcome is reported, and for which subaccount: what the message says, else the configuration. */
function decide(config: Config, outcome: Outcome): SignalsDecision {
  switch (outcome.kind) {
    case 'queue-deferred':
    case 'remote-status':
      return { send: false, subaccount: 0 };
    case 'remote-bounce':
    case 'complaint': {
      if (!outcome.matched) return { send: false, subaccount: 0 };
      // What is not known about the message is left to Signals, which finds it by the message's id.
      const { vmta, senderDomain, subaccountId } = outcome.matched;
      const { send, subaccount } = config.signalsDecision(vmta || '{default}', senderDomain);
      return { send, subaccount: subaccountId || subaccount || 0 };
    }
    default: {
      const { vmta, senderDomain, subaccountId } = outcome.message;
      const { send, subaccount } = config.signalsDecision(vmta, senderDomain);
      return { send, subaccount: subaccountId || subaccount || 0 };
    }
  }
}
