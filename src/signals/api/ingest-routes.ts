import type { Readable } from 'node:stream';
import type { FastifyRequest } from 'fastify';
import { reason } from '../../system/durable-file.ts';
import { printable } from '../../system/log.ts';
import { text } from '../parameter.ts';
import { RequestError } from '../request-error.ts';
import { type Endpoint, endpoint, objectSchema, results } from './endpoint.ts';
import { unsupported } from './register.ts';

const access = ['events/ingest'];
const exampleId = '7f0f0c1e-5a6b-4a57-9d55-0c6f7d2c9b10';
const count = { type: 'integer', minimum: 0 } as const;

function download(
  id: string,
  url: string,
  what: 'batch' | 'failures',
  summary: string,
  missing: string,
): Endpoint {
  return endpoint({
    id,
    method: 'GET',
    path: url,
    tag: 'Ingest',
    summary,
    description: 'Kept for ten days.',
    access,
    parameters: [text('id', 'Id that ingest answered.', exampleId, { in: 'path' })],
    good: {
      status: 200,
      description: 'Lines of JSON, compressed.',
      type: 'application/gzip',
      schema: { type: 'string', format: 'binary' },
    },
    faults: [404],
    async handle({ services, reply, path }) {
      const batch = path('id').toLowerCase();
      const file = await services.files.open(batch, what);
      if (file === null) throw new RequestError(404, missing, { code: '1600' });
      const { size } = await file.stat();
      return reply
        .header('content-type', 'application/gzip')
        .header(
          'content-disposition',
          `attachment; filename="${batch}${what === 'batch' ? '' : '-failures'}.gz"`,
        )
        .header('content-length', size)
        .send(file.createReadStream());
    },
  });
}

/** `POST /v1/ingest/events` and what belongs to it (SparkPost API documentation, Events Ingest). */
export const ingestEndpoints: readonly Endpoint[] = [
  endpoint({
    id: 'ingestEvents',
    method: 'POST',
    path: '/api/v1/ingest/events',
    tag: 'Ingest',
    summary: 'Send a batch of events',
    description:
      'The batch is on disk when 200 is answered; what became of it is an event of `/api/v1/events/ingest`. Sending the same events again does no harm: each counts once.',
    access,
    body: { stream: 'Lines of JSON, one event each, at most 5 MiB compressed.', encoding: 'gzip' },
    good: results('The batch is stored.', objectSchema({ id: { type: 'string' } }), { id: exampleId }),
    bodyLimit: Number.MAX_SAFE_INTEGER,
    // The uploaders of the field drop a batch that is refused, so no key is held to a rate here.
    limited: false,
    before({ services: { ingest, processor, receiving }, request }) {
      requireBatchHeaders(request.headers, ingest.body);
      if (receiving.now >= ingest.concurrent) throw later(429, 'Too many requests');
      if (processor.pendingBytes > ingest.pendingBytes) {
        throw later(503, 'Too many batches wait to be processed; try again later');
      }
    },
    async handle({ services: { ingest, files, processor, receiving, log }, request, caller }) {
      receiving.now++;
      try {
        const chunks = await receive(request.body as Readable | undefined, ingest.body);
        request.bytesIn = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
        const batch = await files.accept(chunks, caller.kind === 'key' ? caller.name : '').catch((error) => {
          log.error('a batch could not be stored; its sender was told to send it again', {
            request: request.id,
            because: printable(reason(error)),
          });
          throw new RequestError(503, 'The batch could not be stored; send it again later', { code: '1500' });
        });
        processor.add(batch);
        return { results: { id: batch.id } };
      } finally {
        receiving.now--;
      }
    },
  }),
  download(
    'getIngestBatch',
    '/api/v1/ingest/events/{id}',
    'batch',
    'Download a batch',
    'Batch not found or expired',
  ),
  download(
    'getIngestFailures',
    '/api/v1/ingest/events/failures/{id}',
    'failures',
    'Download the events of a batch that failed',
    'No failures are stored for this batch',
  ),
  endpoint({
    id: 'getIngestStatus',
    method: 'GET',
    path: '/api/v1/ingest/status',
    tag: 'Ingest',
    summary: 'How far ingest has come',
    access: 'caller',
    good: results(
      'Counts.',
      objectSchema({
        batches_received: count,
        batches_processed: count,
        batches_pending: count,
        events_stored: count,
      }),
    ),
    faults: [403],
    async handle({ services, caller }) {
      // Of all subaccounts together, which is nothing for one of them.
      if (caller.subaccountId > 0) throw new RequestError(403, 'Forbidden.');
      const { processor } = services;
      const processed = services.processedBefore + processor.processed;
      const pending = processor.pending;
      return {
        results: {
          batches_received: processed + pending,
          batches_processed: processed,
          batches_pending: pending,
          events_stored: await services.eventsStored(),
        },
      };
    },
  }),
];

const tooLarge = (limit: number) => new RequestError(413, `The batch is larger than ${limit} bytes`);
/** A sender that is refused for now has its batch still, and tries again. */
const later = (status: 429 | 503, message: string) => new RequestError(status, message, { retryAfter: 5 });

function requireBatchHeaders(headers: FastifyRequest['headers'], limit: number): void {
  const [type = ''] = (headers['content-type'] ?? '').split(';');
  if (type.trim().toLowerCase() !== 'application/x-ndjson') throw unsupported('Content-Type');
  if ((headers['content-encoding'] ?? '').trim().toLowerCase() !== 'gzip') {
    throw unsupported('Content-Encoding');
  }
  if (Number(headers['content-length'] ?? 0) > limit) throw tooLarge(limit);
}

async function receive(body: Readable | undefined, limit: number): Promise<Buffer[]> {
  const chunks: Buffer[] = [];
  if (!body) return chunks;
  let size = 0;
  // The connection has to be there still for the answer.
  for await (const chunk of body.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > limit) throw tooLarge(limit);
    chunks.push(chunk);
  }
  return chunks;
}
