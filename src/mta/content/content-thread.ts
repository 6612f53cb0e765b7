/** A thread that works on the octets of messages, one job after the other. Started by `ContentThreads`. */
import { parentPort } from 'node:worker_threads';
import { SignableMessage } from '../../mail/dkim-sign.ts';
import { planTracking, type TrackingPlan } from '../../tracking/tracking-plan.ts';
import { describePlan, signatureFields, trackedCopy } from './content-work.ts';
import type { Answer, Job } from './messages.ts';

/** Octets of messages whose plans are kept; delivery mostly follows reception within a second. */
const MOST_KEPT = 8 * 2 ** 20;
const MOST_PLANS = 1_000;

const plans = new Map<number, TrackingPlan>();
let kept = 0;

function keep(id: number, plan: TrackingPlan): TrackingPlan {
  plans.set(id, plan);
  kept += plan.raw.length;
  for (const [oldest, { raw }] of plans) {
    if (kept <= MOST_KEPT && plans.size <= MOST_PLANS) break;
    plans.delete(oldest);
    kept -= raw.length;
  }
  return plan;
}

const buffer = (octets: Uint8Array) => Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength);

function answer(job: Job): Answer {
  if (job.kind === 'plan') {
    const plan = keep(job.plan, planTracking(buffer(job.content), job.settings));
    return { job: job.job, kind: 'planned', planned: describePlan(plan) };
  }
  const { order } = job;
  const { tracking, signatures } = order;
  const known = plans.get(job.plan);
  const given = job.content ? buffer(job.content) : known?.raw;
  if (!given) return { job: job.job, kind: 'forgotten' };
  const plan = tracking && (known ?? keep(job.plan, planTracking(given, tracking.settings)));
  const copy = trackedCopy(given, order, plan);
  // What is kept for other copies is never handed over.
  const content = copy === given || copy === plan?.raw ? null : copy;
  if (signatures.length === 0) return { job: job.job, kind: 'made', fields: '', content, faults: [] };
  const message = new SignableMessage(copy);
  const made = signatures.map((settings) => {
    try {
      return message.sign(settings, order.now);
    } catch (error) {
      return error as Error;
    }
  });
  const { fields, faults } = signatureFields(signatures, made);
  if (!content) return { job: job.job, kind: 'made', content, fields, faults };
  return {
    job: job.job,
    kind: 'made',
    content: Buffer.concat([Buffer.from(fields), content]),
    fields: '',
    faults,
  };
}

parentPort!.on('message', (job: Job) => {
  let done: Answer;
  try {
    done = answer(job);
  } catch (error) {
    done = { job: job.job, kind: 'fault', error: (error as Error).stack ?? String(error) };
  }
  // Handed over rather than copied, where the memory is the copy's alone.
  const octets = done.kind === 'made' ? done.content : null;
  const alone = octets && octets.byteLength === octets.buffer.byteLength;
  parentPort!.postMessage(done, alone ? [octets.buffer as ArrayBuffer] : []);
});
