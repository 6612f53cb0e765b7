// What the tests need beyond npm's packages comes from the system's: installed when we may, else said aloud.
import { spawnSync } from 'node:child_process';

interface Needed {
  /** A shell command that succeeds when it is there. */
  readonly check: string;
  readonly package: string;
  readonly for: string;
}

const NEEDED: readonly Needed[] = [
  { check: 'command -v chromium', package: 'chromium', for: 'the browser test' },
  { check: 'command -v swaks', package: 'swaks', for: 'the SMTP scenarios' },
  // Without it swaks knows no TLS.
  { check: 'perl -MNet::SSLeay -e 1', package: 'libnet-ssleay-perl', for: 'the SMTP scenarios' },
  { check: 'command -v openssl', package: 'openssl', for: 'the TLS scenarios' },
  { check: 'command -v opendkim', package: 'opendkim', for: 'the independent check of DKIM signatures' },
  { check: 'command -v python3', package: 'python3', for: 'submission by smtplib' },
  // Its own configuration is never started: the tests make one in a folder of theirs.
  { check: 'command -v /usr/sbin/postfix', package: 'postfix', for: 'the exchange with Postfix' },
];

function holds(check: string): boolean {
  return spawnSync('sh', ['-c', check], { stdio: 'ignore' }).status === 0;
}

/** What a test must skip itself with, aloud; false when all is there. */
export function missing(...packages: string[]): string | false {
  const lacking = NEEDED.filter((entry) => packages.includes(entry.package) && !holds(entry.check));
  if (lacking.length === 0) return false;
  return `SKIPPED: apt-get install ${lacking.map((entry) => entry.package).join(' ')}`;
}

/** Installs what is missing with apt-get when this is root; otherwise the tests that need it skip themselves. */
export function installSystemPackages(): void {
  const lacking = NEEDED.filter((entry) => !holds(entry.check));
  if (lacking.length === 0) return;
  const names = lacking.flatMap(({ package: name }) => (name === 'gcc' ? [name, 'libc6-dev'] : [name]));
  if (process.getuid?.() !== 0 || !holds('command -v apt-get')) {
    for (const entry of lacking) {
      process.stdout.write(`!! ${entry.package} is not installed: ${entry.for} will be SKIPPED\n`);
    }
    return;
  }
  process.stdout.write(`== installing ${names.join(', ')} for the tests\n`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const quiet = { env, stdio: ['ignore', 'ignore', 'inherit'] as ('ignore' | 'inherit')[] };
  spawnSync('apt-get', ['-qq', 'update'], quiet);
  spawnSync('apt-get', ['-qq', 'install', '-y', '--no-install-recommends', ...names], quiet);
  for (const entry of lacking) {
    if (!holds(entry.check)) {
      process.stdout.write(`!! ${entry.package} could not be installed: ${entry.for} will be SKIPPED\n`);
    }
  }
}
