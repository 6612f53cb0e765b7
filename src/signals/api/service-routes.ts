import type { FastifyReply } from 'fastify';
import { type Endpoint, endpoint, type Good, objectSchema } from './endpoint.ts';

const STORE_MS = 2000;

const state = (description: string): Good => ({
  status: 200,
  description,
  schema: objectSchema({ status: { type: 'string' } }),
});

/** Whether the store answers soon. */
async function storeAnswers(read: () => Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(resolve, STORE_MS, false);
  });
  try {
    return await Promise.race([read().then(() => true), late]);
  } catch {
    return false;
  } finally {
    clearTimeout(timer);
  }
}

/** For supervisors, load balancers and Prometheus. */
export const serviceEndpoints: readonly Endpoint[] = [
  endpoint({
    id: 'getHealth',
    method: 'GET',
    path: '/health',
    tag: 'Service',
    summary: 'Whether the process lives',
    description: 'Looks at nothing else: restart the service when this does not answer.',
    access: 'anyone',
    good: state('It lives.'),
    handle: async () => ({ status: 'ok' }),
  }),
  endpoint({
    id: 'getReady',
    method: 'GET',
    path: '/ready',
    tag: 'Service',
    summary: 'Whether requests should be sent here',
    description:
      'The event store answers and ingest takes batches; otherwise 503 with the reasons. Batches that were taken are safe either way.',
    access: 'anyone',
    good: state('Send requests.'),
    faults: [503],
    async handle({ services: { store, processor, ingest }, reply }): Promise<object | FastifyReply> {
      const because: string[] = [];
      if (!(await storeAnswers(() => store.engine.read('SELECT 1')))) {
        because.push(`the event store does not answer within ${STORE_MS / 1000} s`);
      }
      if (processor.pendingBytes > ingest.pendingBytes) because.push('too many batches wait to be processed');
      if (because.length === 0) return { status: 'ready' };
      return reply.status(503).send({ status: 'not ready', errors: because.map((message) => ({ message })) });
    },
  }),
  endpoint({
    id: 'getPrometheus',
    method: 'GET',
    path: '/metrics',
    tag: 'Service',
    summary: 'Figures for Prometheus',
    description: 'Prometheus sends the key as `Authorization: Bearer`.',
    access: ['metrics/view'],
    good: {
      status: 200,
      description: 'Text of Prometheus.',
      type: 'text/plain',
      schema: { type: 'string' },
    },
    limited: false,
    handle: async ({ services, reply }) =>
      reply
        .header('content-type', 'text/plain; version=0.0.4; charset=utf-8')
        .send(services.figures.text(services.processor, services.store.engine.counts)),
  }),
];
