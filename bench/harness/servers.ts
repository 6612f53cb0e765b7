/** The mail servers that are measured side by side: each relays all it gets to one port on loopback, durably. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { connectSmtp } from '../../src/smtp/index.ts';
import { startPostfix } from '../../test/postfix.ts';
import { endsWithUs, freePorts, root, temporaryFolder } from '../../test/program.ts';
import { profiledAs } from './flame.ts';
import { fail } from './given.ts';

export interface MailServer {
  readonly name: string;
  readonly version: string;
  readonly port: number;
  /** The process whose tree does the work. */
  readonly pid: number;
  /** What it does to be sure of a message before it says `250`. */
  readonly durability: string;
  stop(): Promise<void>;
}

export interface RelayTarget {
  /** Where everything is relayed to, on loopback. */
  readonly sinkPort: number;
  /** Connections at a time, in and out. */
  readonly sessions: number;
}

/** Waits until a server greets. */
export async function untilGreets(port: number, child?: ChildProcess): Promise<void> {
  for (let tries = 0; tries < 600; tries++) {
    const connected = await connectSmtp({ host: '127.0.0.1', port, heloName: 'bench.test' });
    if (connected.ok) return void (await connected.client.quit());
    if (child && child.exitCode !== null) break;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`nothing greets on port ${port}`);
}

export async function ended(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  await new Promise((resolve) => {
    child.once('exit', resolve);
    child.kill(signal);
  });
}

let compiled: string | null = null;

/** Builds what `npm pack` would take: operators run it compiled, so that is what is measured. */
export function compiledPackage(): string {
  if (compiled) return compiled;
  const built = spawnSync(process.execPath, [path.join(root, 'scripts/build.mjs')], {
    stdio: 'pipe',
    env: profiledAs(null),
  });
  if (built.status !== 0) throw new Error(`the build failed: ${built.stderr}${built.stdout}`);
  const folder = path.join(temporaryFolder(), 'package');
  mkdirSync(folder);
  for (const name of ['bin', 'dist', 'package.json'])
    cpSync(path.join(root, name), path.join(folder, name), { recursive: true });
  symlinkSync(path.join(root, 'node_modules'), path.join(folder, 'node_modules'));
  compiled = path.join(folder, 'bin/posthorn.js');
  return compiled;
}

export interface PosthornOptions {
  /** Lines of the configuration; `@DIR@`, `@PORT@`, `@SINK@`, `@SESSIONS@` are filled in. */
  readonly config?: string;
  /** Where an earlier one was: the same folder and port, so that it finds the earlier one's mail. */
  readonly again?: { readonly dir: string; readonly port: number };
  /** From its sources instead of the compiled package: for profiles that show our lines. */
  readonly fromSource?: boolean;
  /** From the sources of this checkout, which may be another one. */
  readonly checkout?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** As an operator would configure a relay: accounting on, as Postfix and Haraka log each message. */
export const RELAY_CONFIG = `
host-name mta.test
log-file @DIR@/log
state-dir @DIR@/state
http-mgmt-port 0
smtp-listener 127.0.0.1:@PORT@
total-max-smtp-in 1000
<spool @DIR@/spool>
</spool>
<source 127.0.0.1>
  always-allow-relaying yes
  smtp-service yes
</source>
<domain *>
  smtp-hosts [127.0.0.1]:@SINK@
  use-starttls no
  max-smtp-out @SESSIONS@
  max-msg-per-connection 0
</domain>
<acct-file @DIR@/acct.csv>
  records d,b
</acct-file>
`;

export async function startPosthorn(
  { sinkPort, sessions }: RelayTarget,
  options: PosthornOptions = {},
): Promise<MailServer & { readonly dir: string; readonly process: ChildProcess }> {
  const dir = options.again?.dir ?? temporaryFolder();
  const port = options.again?.port ?? (await freePorts(1));
  const config = path.join(dir, 'config');
  const places = new Map([
    ['DIR', dir],
    ['PORT', `${port}`],
    ['SINK', `${sinkPort}`],
    ['SESSIONS', `${sessions}`],
  ]);
  writeFileSync(
    config,
    (options.config ?? RELAY_CONFIG).replace(/@(\w+)@/g, (all, name) => places.get(name) ?? all),
    // A password may stand in it.
    { mode: 0o600 },
  );
  const checkout = options.checkout ?? (options.fromSource ? root : null);
  const bin = checkout === null ? compiledPackage() : path.join(checkout, 'bin/posthorn.js');
  const child = spawn(process.execPath, [bin, 'mta', '--config', config], {
    env: { ...profiledAs('posthorn'), NODE_COMPILE_CACHE: path.join(dir, 'compiled'), ...options.env },
    stdio: ['ignore', 'ignore', 'inherit'],
    cwd: dir,
  });
  endsWithUs(child);
  await untilGreets(port, child);
  const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
  return {
    name: 'posthorn',
    version,
    port,
    pid: child.pid!,
    dir,
    process: child,
    durability: 'message and outcomes in synced LMDB transactions',
    stop: () => ended(child),
  };
}

export async function startPostfixRelay({ sinkPort, sessions }: RelayTarget): Promise<MailServer> {
  if (process.getuid?.() !== 0) fail('only root can start Postfix; --peers without it leaves it out');
  const port = await freePorts(1);
  const postfix = await startPostfix({
    port,
    domain: 'local.test',
    mailboxes: ['nobody'],
    relayPort: sinkPort,
    main: [
      `default_process_limit = ${Math.max(100, sessions * 2)}`,
      `default_destination_concurrency_limit = ${sessions}`,
      `initial_destination_concurrency = ${sessions}`,
      `smtp_connection_cache_destinations = [127.0.0.1]:${sinkPort}`,
      'smtp_tls_security_level = none',
      'smtpd_client_connection_count_limit = 0',
      'smtpd_client_message_rate_limit = 0',
      'in_flow_delay = 0',
      'qmgr_message_active_limit = 40000',
    ],
  });
  await untilGreets(port).catch((error: Error) => {
    throw new Error(`${error.message}; Postfix says: ${postfix.log().slice(-500)}`);
  });
  const version = spawnSync('postconf', ['-d', '-h', 'mail_version'], { encoding: 'utf8' }).stdout.trim();
  return {
    name: 'postfix',
    version,
    port,
    pid: postfix.pid(),
    durability: 'queue file synced (as it always does)',
    stop: async () => postfix.stop(),
  };
}

/** The floor: see `bare-relay.ts`. */
export async function startBareRelay({ sinkPort, sessions }: RelayTarget): Promise<MailServer> {
  const port = await freePorts(1);
  const script = path.join(import.meta.dirname, 'bare-relay.ts');
  const child = spawn(
    process.execPath,
    [script, `${port}`, `${sinkPort}`, `${sessions}`, temporaryFolder()],
    { stdio: ['ignore', 'ignore', 'inherit'], env: profiledAs('bare') },
  );
  endsWithUs(child);
  await untilGreets(port, child);
  return {
    name: 'bare',
    version: 'protocol and sync, nothing else',
    port,
    pid: child.pid!,
    durability: 'message and removal in synced LMDB transactions',
    stop: () => ended(child),
  };
}

/** Where the peer from npm is kept between runs; it is no dependency of ours. */
const HARAKA = path.join(root, 'var', 'bench', 'haraka');
const HARAKA_VERSION = '3.3.4';

/** By the file that npm writes when all is there, so an installation that was interrupted is none. */
function installedHaraka(): string | undefined {
  const lock = path.join(HARAKA, 'node_modules', '.package-lock.json');
  if (!existsSync(lock)) return undefined;
  const { packages } = JSON.parse(readFileSync(lock, 'utf8'));
  return packages['node_modules/Haraka']?.version;
}

export async function startHaraka({ sinkPort, sessions }: RelayTarget): Promise<MailServer> {
  const home = path.join(HARAKA, 'node_modules', 'Haraka');
  if (installedHaraka() !== HARAKA_VERSION) {
    mkdirSync(HARAKA, { recursive: true });
    writeFileSync(path.join(HARAKA, 'package.json'), '{"private":true}');
    console.log('installing Haraka for the comparison (once) …');
    const options = ['--no-audit', '--no-fund', '--loglevel=error', '--no-save'];
    const done = spawnSync('npm', ['install', ...options, `Haraka@${HARAKA_VERSION}`], {
      cwd: HARAKA,
      stdio: ['ignore', 2, 2],
      env: profiledAs(null),
    });
    if (done.status !== 0) {
      fail(
        'Haraka could not be installed; its reasons are above. --peers posthorn,bare,postfix leaves it out',
      );
    }
  }
  const dir = temporaryFolder();
  const port = await freePorts(1);
  const config = path.join(dir, 'config');
  // Its own defaults, then what we change.
  cpSync(path.join(home, 'config'), config, { recursive: true });
  mkdirSync(path.join(dir, 'plugins'));
  mkdirSync(path.join(dir, 'queue'));
  const write = (name: string, text: string) => writeFileSync(path.join(dir, name), text);
  write('config/smtp.ini', `listen=127.0.0.1:${port}\nnodes=0\n[headers]\nclean_auth_results=false\n`);
  write('config/plugins', 'relay_to_sink\n');
  write('config/me', 'haraka.test\n');
  write('config/loglevel', 'NOTICE\n');
  write('config/outbound.ini', `concurrency_max=${sessions}\nenable_tls=false\n`);
  write(
    'plugins/relay_to_sink.js',
    `'use strict';
exports.register = function () {
  this.register_hook('connect', 'relay');
  this.register_hook('rcpt', 'take');
  this.register_hook('get_mx', 'sink');
};
exports.relay = (next, connection) => { connection.relaying = true; next(); };
exports.take = (next) => next(OK);
exports.sink = (next) => next(OK, { priority: 0, exchange: '127.0.0.1', port: ${sinkPort} });
`,
  );
  const child = spawn(process.execPath, [path.join(home, 'bin', 'haraka'), '-c', dir], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: profiledAs('haraka'),
  });
  endsWithUs(child);
  await untilGreets(port, child);
  return {
    name: 'haraka',
    version: HARAKA_VERSION,
    port,
    pid: child.pid!,
    durability: 'queue file synced (as it always does)',
    // SIGTERM would end it without its profile.
    stop: () => ended(child, 'SIGINT'),
  };
}
