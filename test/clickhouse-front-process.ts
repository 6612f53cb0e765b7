/**
 * ClickHouse's HTTP interface, as much of it as clients use, before ClickHouse's own engine in this process; for tests
 * of what is between a client and a server. `node clickhouse-front-process.ts FOLDER PORT`; its parent sends faults.
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { Fault } from './clickhouse-front.ts';

const [folder, port] = process.argv.slice(2) as [string, string];
const require = createRequire(import.meta.url);
const { Session } = require('chdb') as typeof import('chdb');

const USER = 'posthorn';
const PASSWORD = 'secret: & word';

/** Belongs to the HTTP interface and is no setting of the engine. */
const ofInterface = new Set([
  'query',
  'query_id',
  'database',
  'user',
  'password',
  'default_format',
  'session_id',
  'role',
  'wait_end_of_query',
  'buffer_size',
  'enable_http_compression',
  'compress',
  'decompress',
]);

interface Asked {
  readonly statement: string;
  /** Rows behind an INSERT. */
  readonly data: Buffer | null;
  readonly parameters: ReadonlyMap<string, string>;
  readonly settings: ReadonlyMap<string, string>;
  readonly waitsForEnd: boolean;
}

class Refused extends Error {
  readonly status: number;
  readonly code: number;
  constructor(status: number, code: number, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

const literal = (text: string) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;

/** Sessions of the engine by their settings; each runs one statement at a time, as one connection does. */
const sessions = new Map<string, { session: InstanceType<typeof Session>; last: Promise<unknown> }>();
mkdirSync(path.join(folder, 'user_files'), { recursive: true });
let files = 0;

async function execute(asked: Asked, stretchMs: number, begins = () => {}): Promise<Buffer> {
  const settings = [...asked.settings].sort();
  const key = JSON.stringify(settings);
  let entry = sessions.get(key);
  if (!entry) {
    entry = { session: new Session(path.join(folder, 'data')), last: Promise.resolve() };
    sessions.set(key, entry);
    for (const [name, value] of settings) {
      const set = `SET ${name} = ${/^\d+(\.\d+)?$/.test(value) ? value : literal(value)}`;
      entry.last = entry.last.then(() => entry!.session.queryAsync(set));
    }
  }
  const { session } = entry;
  const run = async () => {
    for (const [name, value] of asked.parameters) {
      await session.queryAsync(`SET param_${name} = ${literal(value)}`);
    }
    let sql = asked.statement;
    let file: string | null = null;
    if (asked.data) {
      const native = /^INSERT INTO \w+ \(([^)]+)\).* FORMAT Native\s*$/s.exec(sql);
      if (native) {
        // The engine's interface takes text only.
        file = path.join(folder, 'user_files', `${files++}.native`);
        await writeFile(file, asked.data);
        const slow = stretchMs > 0 ? ` WHERE sleep(${(stretchMs / 1000).toFixed(3)}) = 0` : '';
        sql = `${sql.replace(/ FORMAT Native\s*$/, '')} SELECT ${native[1]} FROM file(${literal(file)}, Native)${slow}`;
      } else sql = `${sql}\n${asked.data.toString('utf8')}`;
    }
    try {
      const answer = session.queryAsync(sql);
      begins();
      return Buffer.from((await answer).bytes());
    } finally {
      if (file) await rm(file, { force: true });
    }
  };
  const result = entry.last.then(run, run);
  entry.last = result.catch(() => {});
  return result;
}

function multipart(body: Buffer, type: string): Map<string, string> {
  const boundary = /boundary=(?:"([^"]+)"|(\S+))/.exec(type);
  const fields = new Map<string, string>();
  for (const part of body.toString('utf8').split(`--${boundary?.[1] ?? boundary?.[2]}`)) {
    const at = part.indexOf('\r\n\r\n');
    const name = /name="([^"]+)"/.exec(part.slice(0, Math.max(0, at)))?.[1];
    if (name) fields.set(name, part.slice(at + 4, -2));
  }
  return fields;
}

function authenticate(request: IncomingMessage, url: URL): void {
  const basic = /^Basic (.+)$/.exec(request.headers.authorization ?? '')?.[1];
  const given = basic ? Buffer.from(basic, 'base64').toString('utf8') : '';
  const named = `${url.searchParams.get('user')}:${url.searchParams.get('password')}`;
  if (given === `${USER}:${PASSWORD}` || named === `${USER}:${PASSWORD}`) return;
  throw new Refused(
    403,
    516,
    `${USER}: Authentication failed: password is incorrect (AUTHENTICATION_FAILED)`,
  );
}

async function read(request: IncomingMessage): Promise<Asked> {
  const url = new URL(request.url!, 'http://front');
  if (Buffer.byteLength(request.url!) > 1_048_576) throw new Refused(414, 0, 'URI too long');
  authenticate(request, url);
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  let body: Buffer = Buffer.concat(parts);
  if (request.headers['content-encoding'] === 'gzip') body = gunzipSync(body);
  const all = new Map(url.searchParams);
  const type = request.headers['content-type'] ?? '';
  if (type.startsWith('multipart/form-data')) {
    for (const [name, value] of multipart(body, type)) all.set(name, value);
    body = Buffer.alloc(0);
  }
  const statement = all.get('query') ?? body.toString('utf8');
  const parameters = new Map<string, string>();
  const settings = new Map<string, string>();
  for (const [name, value] of all) {
    if (name.startsWith('param_')) parameters.set(name.slice(6), value);
    else if (!ofInterface.has(name)) settings.set(name, value);
  }
  const hasData = all.has('query') && body.length > 0;
  const waitsForEnd = all.get('wait_end_of_query') === '1';
  return { statement, data: hasData ? body : null, parameters, settings, waitsForEnd };
}

/** How the engine's failure is told: the status by the code, as the server chooses it. */
function failure(error: unknown): Refused {
  if (error instanceof Refused) return error;
  const message = error instanceof Error ? error.message : String(error);
  const code = Number(/Code: (\d+)/.exec(message)?.[1] ?? 1001);
  const status = [47, 60, 81].includes(code) ? 404 : code === 62 ? 400 : code === 241 ? 500 : 500;
  return new Refused(status, code, message.replace(/^.*?DB::Exception: /s, ''));
}

let faults: Fault[] = [];

/** The fault that this statement meets, if any; used up by it. */
function meet(statement: string): Fault | undefined {
  const at = faults.findIndex((fault) => new RegExp(fault.statement).test(statement));
  const found = faults[at];
  if (!found) return undefined;
  faults = found.times > 1 ? faults.with(at, { ...found, times: found.times - 1 }) : faults.toSpliced(at, 1);
  process.send?.({ met: found.kind, statement: statement.slice(0, 80) });
  return found;
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  response.setHeader('X-ClickHouse-Query-Id', randomUUID());
  response.setHeader('X-ClickHouse-Server-Display-Name', 'front');
  response.setHeader('Keep-Alive', 'timeout=10');
  if (request.url === '/ping') return void response.end('Ok.\n');
  try {
    const asked = await read(request);
    const fault = meet(asked.statement);
    if (fault?.kind === 'reset') return void request.socket.destroy();
    if (fault?.kind === 'late') {
      // The client goes when the statement begins, which takes its time.
      await execute(asked, fault.ms ?? 1000, () => request.socket.destroy()).catch(() => {});
      return;
    }
    if (fault?.kind === 'gateway') {
      response.statusCode = 502;
      response.setHeader('Content-Type', 'text/html');
      return void response.end('<html><h1>502 Bad Gateway</h1></html>');
    }
    if (fault?.kind === 'refused')
      throw new Refused(500, fault.code ?? 999, 'Coordination::Exception: Session expired');
    if (fault?.kind === 'hang') await sleep(fault.ms ?? 1000);
    const result = await execute(asked, 0);
    if (fault?.kind === 'lost') return void request.socket.destroy();
    if (fault?.kind === 'late-failure') {
      const told = `Code: 395. DB::Exception: Value passed to 'throwIf' function is non-zero. (FUNCTION_THROW_IF_VALUE_IS_NON_ZERO)`;
      if (asked.waitsForEnd) throw new Refused(500, 395, told);
      // A server that has begun to answer can only put its failure behind what it has said.
      response.write(result.subarray(0, Math.floor(result.length / 2)));
      return void response.end(`\r\n__exception__\r\n${told}\r\n`);
    }
    response.setHeader('X-ClickHouse-Summary', '{"read_rows":"0"}');
    if (fault?.kind === 'cut') {
      response.setHeader('Content-Length', result.length + 1);
      response.write(result.subarray(0, Math.floor(result.length / 2)));
      await sleep(20);
      return void request.socket.destroy();
    }
    if (/\bgzip\b/.test(String(request.headers['accept-encoding'] ?? '')) && result.length > 0) {
      response.setHeader('Content-Encoding', 'gzip');
      return void response.end(gzipSync(result));
    }
    response.end(result);
  } catch (error) {
    const { status, code, message } = failure(error);
    response.statusCode = status;
    response.setHeader('X-ClickHouse-Exception-Code', String(code));
    response.end(
      `Code: ${code}. DB::Exception: ${message} (version ${createHash('md5').digest('hex').slice(0, 4)})`,
    );
  }
}

process.on('message', (given: { faults: Fault[] }) => {
  faults = [...given.faults];
  process.send?.({ armed: true });
});
process.on('disconnect', () => process.exit(0));
const server = createServer(
  { maxHeaderSize: 2 ** 21 },
  (request, response) => void answer(request, response),
);
server.listen(Number(port), '127.0.0.1', () => {
  process.send?.({ port: (server.address() as { port: number }).port });
});
