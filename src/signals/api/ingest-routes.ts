import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { RequestError } from '../request-error.ts';
import { requireGrant } from './authentication.ts';
import type { Services } from './context.ts';

/** `POST /v1/ingest/events` and what belongs to it (SparkPost API documentation, Events Ingest). */
export async function ingestRoutes(app: FastifyInstance, services: Services): Promise<void> {
  const { accounts, files, processor, store, clock, ingest } = services;
  const grant = requireGrant(accounts, 'events/ingest');
  let receiving = 0;

  // A scope of its own, because here a body is taken as it comes, whatever its type says.
  await app.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
    scope.post(
      '/api/v1/ingest/events',
      {
        bodyLimit: Number.MAX_SAFE_INTEGER,
        onRequest: [
          grant,
          async (request, reply) => {
            requireBatchHeaders(request, reply, ingest.body);
            if (receiving >= ingest.concurrent) refuse(reply, 429, 'Too many requests');
            if (processor.pendingBytes > ingest.pendingBytes) {
              refuse(reply, 503, 'Too many batches wait to be processed; try again later');
            }
          },
        ],
      },
      async (request, reply) => {
        receiving++;
        try {
          const chunks = await receive(request.body as Readable | undefined, ingest.body, reply);
          const batch = await files.accept(chunks);
          processor.add(batch);
          return { results: { id: batch.id } };
        } finally {
          receiving--;
        }
      },
    );
  });

  for (const [url, what, name] of [
    ['/api/v1/ingest/events/:id', 'batch', ''],
    ['/api/v1/ingest/events/failures/:id', 'failures', '-failures'],
  ] as const) {
    app.get<{ Params: { id: string } }>(url, { onRequest: grant }, async (request, reply) => {
      const { id } = request.params;
      const file = await files.find(id.toLowerCase(), what);
      if (file === null) {
        throw new RequestError(
          404,
          what === 'batch' ? 'Batch not found or expired' : 'No failures are stored for this batch',
          { code: '1600' },
        );
      }
      return reply
        .header('content-type', 'application/gzip')
        .header('content-disposition', `attachment; filename="${id.toLowerCase()}${name}.gz"`)
        .header('content-length', (await stat(file)).size)
        .send(createReadStream(file));
    });
  }

  let counted = { at: Number.NEGATIVE_INFINITY, events: 0 };
  app.get('/api/v1/ingest/status', { onRequest: requireGrant(accounts) }, async () => {
    if (clock.now() - counted.at > 500 || counted.at > clock.now()) {
      counted = { at: clock.now(), events: await store.count() };
    }
    const processed = services.processedBefore + processor.processed;
    const pending = processor.pending;
    return {
      results: {
        batches_received: processed + pending,
        batches_processed: processed,
        batches_pending: pending,
        events_stored: counted.events,
      },
    };
  });
}

/** Refuses before the body has been read, so the connection cannot be used again. */
function refuse(reply: FastifyReply, status: number, message: string, code?: string): never {
  reply.header('connection', 'close');
  throw new RequestError(status, message, code === undefined ? {} : { code });
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
