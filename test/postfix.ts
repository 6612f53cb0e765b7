/**
 * A Postfix of our own beside the system's: its whole configuration, queue and mailboxes are in one folder, it listens
 * on loopback only, keeps mail for one domain in a Maildir and hands everything else to one relay. It needs root, for
 * Postfix's master process starts as root and runs its parts as others.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeSelfSignedCertificate } from '../src/smtp/self-signed.ts';
import { temporaryFolder } from './program.ts';

export interface PostfixOptions {
  readonly port: number;
  /** Mail for this domain stays here. */
  readonly domain: string;
  /** The local parts that have a mailbox; others are refused. */
  readonly mailboxes: readonly string[];
  /** Where all other mail goes, on loopback. */
  readonly relayPort: number;
  /** Further lines of main.cf. */
  readonly main?: readonly string[];
}

export interface Postfix {
  readonly port: number;
  /** Messages in the mailbox of a local part, in no order. */
  mailbox(localPart: string): string[];
  log(): string;
  /** The master process, whose children do the work. */
  pid(): number;
  /** Runs a Postfix command on this instance: `sendmail`, `postqueue`. */
  command(name: string, args: readonly string[], input?: string): { status: number | null; output: string };
  stop(): void;
}

const NOBODY = 65_534;

export async function startPostfix({
  port,
  domain,
  mailboxes,
  relayPort,
  main = [],
}: PostfixOptions): Promise<Postfix> {
  const dir = temporaryFolder();
  // Postfix's parts run as other users and walk this path.
  chmodSync(dir, 0o755);
  const at = (...names: string[]) => path.join(dir, ...names);
  for (const name of ['conf', 'queue', 'data', 'mail']) mkdirSync(at(name), { mode: 0o755 });
  chownSync(at('data'), idOf('-u'), idOf('-g'));
  chownSync(at('mail'), NOBODY, NOBODY);
  const { cert, key } = await makeSelfSignedCertificate({ names: [`mx.${domain}`], days: 30 });
  writeFileSync(at('conf', 'tls.pem'), `${key}${cert}`, { mode: 0o600 });
  writeFileSync(
    at('conf', 'main.cf'),
    [
      'compatibility_level = 3.6',
      `queue_directory = ${at('queue')}`,
      `data_directory = ${at('data')}`,
      'command_directory = /usr/sbin',
      'daemon_directory = /usr/lib/postfix/sbin',
      `maillog_file = ${at('mail.log')}`,
      `maillog_file_prefixes = ${dir}`,
      `myhostname = mx.${domain}`,
      'mydestination =',
      'inet_interfaces = 127.0.0.1',
      'inet_protocols = ipv4',
      'mynetworks = 127.0.0.0/8',
      'smtputf8_enable = yes',
      `virtual_mailbox_domains = ${domain}`,
      `virtual_mailbox_base = ${at('mail')}`,
      `virtual_mailbox_maps = texthash:${at('conf', 'mailboxes')}`,
      `virtual_uid_maps = static:${NOBODY}`,
      `virtual_gid_maps = static:${NOBODY}`,
      'smtp_dns_support_level = disabled',
      'smtp_host_lookup = native',
      `relayhost = [127.0.0.1]:${relayPort}`,
      `smtpd_tls_chain_files = ${at('conf', 'tls.pem')}`,
      'smtpd_tls_security_level = may',
      'smtpd_tls_received_header = yes',
      'smtpd_recipient_restrictions = permit_mynetworks, reject',
      ...main,
      '',
    ].join('\n'),
  );
  writeFileSync(at('conf', 'mailboxes'), mailboxes.map((name) => `${name}@${domain} ${name}/\n`).join(''));
  const template = readFileSync('/usr/share/postfix/master.cf.dist', 'utf8');
  writeFileSync(
    at('conf', 'master.cf'),
    template
      .replace(/^smtp +inet .*$/m, `127.0.0.1:${port} inet n - n - - smtpd`)
      // Debian's parts run in a jail that this folder is not furnished as.
      .replace(/^(\w+ +(?:inet|unix|unix-dgram) +\S+ +\S+ +)y /gm, '$1n '),
  );
  const started = spawnSync('postfix', ['-c', at('conf'), 'start'], { encoding: 'utf8', timeout: 120_000 });
  if (started.status !== 0) throw new Error(`Postfix did not start: ${started.stdout}${started.stderr}`);
  const stop = () => {
    spawnSync('postfix', ['-c', at('conf'), 'stop'], { timeout: 120_000, stdio: 'ignore' });
  };
  // Before the folder goes: without its configuration Postfix cannot be told to stop.
  process.prependOnceListener('exit', stop);
  return {
    port,
    mailbox(localPart) {
      try {
        return readdirSync(at('mail', localPart, 'new')).map((name) =>
          readFileSync(at('mail', localPart, 'new', name), 'utf8'),
        );
      } catch {
        return [];
      }
    },
    log: () => readFileSync(at('mail.log'), 'utf8'),
    pid: () => Number(readFileSync(at('queue', 'pid', 'master.pid'), 'utf8')),
    command(name, args, input) {
      const done = spawnSync(name, [...args], {
        env: { ...process.env, MAIL_CONFIG: at('conf') },
        encoding: 'utf8',
        timeout: 120_000,
        input,
      });
      return { status: done.status, output: done.stdout + done.stderr };
    },
    stop() {
      process.removeListener('exit', stop);
      stop();
    },
  };
}

function idOf(flag: '-u' | '-g'): number {
  return Number(spawnSync('id', [flag, 'postfix'], { encoding: 'utf8' }).stdout);
}
