import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { reason } from '../../system/durable-file.ts';
import { printable } from '../../system/log.ts';
import { text } from '../parameter.ts';
import { RequestError } from '../request-error.ts';
import { type Endpoint, endpoint, objectSchema, results } from './endpoint.ts';

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
      const file = await services.files.find(batch, what);
      if (file === null) throw new RequestError(404, missing, { code: '1600' });
      return reply
        .header('content-type', 'application/gzip')
        .header(
          'content-disposition',
          `attachment; filename="${batch}${what === 'batch' ? '' : '-failures'}.gz"`,
        )
        .header('content-length', (await stat(file)).size)
        .send(createReadStream(file));
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
    before({ services: { ingest, processor, receiving }, request, reply }) {
      requireBatchHeaders(request, reply, ingest.body);
      if (receiving.now >= ingest.concurrent) refuse(reply, 429, 'Too many requests');
      if (processor.pendingBytes > ingest.pendingBytes) {
        refuse(reply, 503, 'Too many batches wait to be processed; try again later');
      }
    },
    async handle({ services: { ingest, files, processor, receiving, log }, request, reply, caller }) {
      receiving.now++;
      try {
        const chunks = await receive(request.body as Readable | undefined, ingest.body, reply);
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

/** Refuses before the body has been read, so the connection cannot be used again. */
function refuse(reply: FastifyReply, status: number, message: string, code?: string): never {
  reply.header('connection', 'close');
  // A sender that is refused for now has its batch still, and tries again.
  const later = status === 429 || status === 503 ? { retryAfter: 5 } : {};
  throw new RequestError(status, message, { ...(code === undefined ? {} : { code }), ...later });
}

function requireBatchHeaders(request: FastifyRequest, reply: FastifyReply, limit: number): void {
  const [type = ''] = (request.headers['content-type'] ?? '').split(';');
  if (type.trim().toLowerCase() !== 'application/x-ndjson') {
    refuse(reply, 415, 'Unsupported Content-Type header', '1700');
  }
  if ((request.headers['content-encoding'] ?? '').trim().toLowerCase() !== 'gzip') {
    refuse(reply, 415, 'Unsupported Content-Encoding header', '1700');
  }
  if (Number(request.headers['content-length'] ?? 0) > limit) tooLarge(reply, limit);
}

function tooLarge(reply: FastifyReply, limit: number): never {
  refuse(reply, 413, `The batch is larger than ${limit} bytes`);
}

async function receive(body: Readable | undefined, limit: number, reply: FastifyReply): Promise<Buffer[]> {
  const chunks: Buffer[] = [];
  if (!body) return chunks;
  let size = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > limit) tooLarge(reply, limit);
    chunks.push(chunk);
  }
  return chunks;
}
