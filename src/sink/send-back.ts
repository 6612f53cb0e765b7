import { positive } from '../smtp/client-types.ts';
import { connectSmtp } from '../smtp/connect.ts';
import type { SmtpReply } from '../smtp/reply-reader.ts';
import type { Clock } from '../system/clock.ts';
import type { ActionResult } from './actions.ts';
import type { MailFiles } from './mail-files.ts';
import type { Accepted, PlannedAction } from './records.ts';
import { buildAutoReply, buildBounce, buildComplaint } from './reports.ts';

export interface SendBackOptions {
  /** The one host to which returned mail goes, so that nothing the sink writes can reach a stranger. null sends nothing. */
  readonly deliverVia: { readonly host: string; readonly port: number } | null;
  readonly domain: string;
  /** Address that complaints are sent to; '' is `fbl@` and the domain of the return path. */
  readonly complaintTo: string;
  readonly files: MailFiles;
  readonly clock: Clock;
  /** Cuts what is under way; it is sent again after the next start. */
  readonly signal: AbortSignal;
}

const TIMEOUTS = {
  connect: 10_000,
  greeting: 30_000,
  command: 30_000,
  data: 30_000,
  dataEnd: 120_000,
  handshake: 15_000,
};

/** Sends bounces and complaints about accepted messages back over SMTP. */
export function createSendBack(
  options: SendBackOptions,
): (record: Accepted, action: PlannedAction) => Promise<ActionResult> {
  const { deliverVia, files, domain, clock } = options;
  return async (record, action) => {
    if (!deliverVia) return { ok: false, doubt: false, status: 0, fault: 'suppressed_guard', again: false };
    const original = await files.original(record.id);
    if (!original) return { ok: false, doubt: false, status: 0, fault: 'original_missing', again: false };
    const host = `mx1.mx.${domain}`;
    const facts = { record, original, host, now: clock.now(), sourceIp: record.client };
    const complaints = `feedback@${record.rcpt.slice(record.rcpt.lastIndexOf('@') + 1)}`;
    const complaintTo = options.complaintTo || `fbl@${record.from.slice(record.from.lastIndexOf('@') + 1)}`;
    const [status, form] = action.how.split(' ') as [string, 'headers' | 'noorig' | 'text' | undefined];
    const mail =
      action.kind === 'oob'
        ? // The null sender: a bounce of a bounce must go nowhere (RFC 5321 section 6.1).
          { from: '', to: record.from, content: buildBounce(facts, status, form ?? 'full') }
        : action.kind === 'fbl'
          ? {
              from: complaints,
              to: complaintTo,
              content: buildComplaint(facts, action.how, complaints, complaintTo),
            }
          : { from: '', to: record.from, content: buildAutoReply(facts) };
    const connected = await connectSmtp({
      ...deliverVia,
      heloName: host,
      timeouts: TIMEOUTS,
      tls: { mode: 'opportunistic', verify: 'no' },
      signal: options.signal,
      clock,
    });
    if (!connected.ok) return outcome(connected.reply);
    const { client } = connected;
    try {
      const result = await client.send({
        from: mail.from,
        params: { body: '8BITMIME' },
        recipients: [{ address: mail.to }],
        content: mail.content,
      });
      if (result.lost && result.bytes > 0 && result.lost.stage !== 'content') {
        // All of it was sent, and it may have arrived: content goes along with the envelope where it may, so that even
        // the first reply may be missing then. But a bounce said twice does less harm than one not said.
        return { ok: false, doubt: true, status: 0, fault: 'lost', again: true };
      }
      if (result.lost) return outcome(null);
      if (result.needs) return { ok: false, doubt: false, status: 0, fault: 'needs_extension', again: false };
      return outcome(positive(result.recipients[0]) ? result.data : (result.recipients[0] ?? result.mail));
    } finally {
      await client.quit();
    }
  };
}

/** No reply and 4xx are worth another try. */
function outcome(reply: SmtpReply | null): ActionResult {
  const status = reply?.code ?? 0;
  const ok = positive(reply);
  const again = !ok && status < 500;
  return { ok, doubt: false, status, fault: ok ? '' : status === 0 ? 'no_connection' : 'smtp_error', again };
}
