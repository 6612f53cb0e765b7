/** `posthorn acct find` and `posthorn acct stats`, also installed as `pmtaacctfind` and `pmtastats`. */
import { findRecords, readFindCall, type ToolStreams } from '../mta/accounting/tools/find.ts';
import { printStats, readStatsCall } from '../mta/accounting/tools/stats.ts';
import { systemClock } from '../system/clock.ts';
import { printable } from '../system/log.ts';
import { UserError } from '../system/user-error.ts';
import { guarded } from './guarded.ts';
import { version } from './version.ts';

const findHelp = `Usage: posthorn acct find [options] FILE...        (also: pmtaacctfind)

Prints the records of accounting files that match. FILE may be compressed with gzip; - is standard input.

  --delivered, --bounced  these records only (default: both)
  --types LIST            records of other types: d, b, t, tq, r, f, rb, rs, or all
  --match [F1,F2]PATTERN  records in which a field (or one of those named in the brackets) contains PATTERN,
                          in any case; m/REGEX/ is a regular expression. Repeated: all must match
  --FIELD PATTERN         the same for one field: --to, --from, --dsnStatus, --jobId, --header:NAME ...
  --output FORMAT[F1,F2]  standard (default), csv, tsv, json (one object per line), html, xml, prettyxml;
                          with fields in brackets only those
  --iso-times             times as YYYY-MM-DD HH:MM:SS+HHMM where the file has seconds
  --sortBy FIELD          in the order of a field, of all files together
`;

const statsHelp = `Usage: posthorn acct stats [options] [STATISTIC [options]]... FILE...        (also: pmtastats)

Counts the deliveries and bounces of accounting files. FILE may be compressed with gzip; - is standard input.

  --output text|html|json   (default text; --json is the same as --output json)
  --envId, --from, --toDomain, --jobId, --vmta, --rcvSmtpUser VALUE; --header NAME VALUE
                            only records whose field begins with VALUE
  --last DdHhMmSs           only records of the last period
  --byEnvId, --byJobId, --byFrom, --byVmta, --byHeader NAME
                            a report for each value; at most --splitLimit N of them (5000)
  --topDomains N            for all statistics
  --all                     all statistics
  --quiet                   says nothing about lines that are left out

Statistics and their options; without any, those marked * are printed:
  bounce-categories *       --topCategories N (10) --bounceCat N|NAME|all (spam-related)
                            --byDsn N (10) --byDomain N (10) --byDsnAndDomain N (10)
  delivery-times *
  message-counts *
  top-bounce *              --topDomains N (10) --topStatusCodes N (10)
  top-domains *             --topDomains N (10) --noDeliveryTimes
  top-rates *               always over whole files, whatever is filtered
  vmta-summary              --byDate
  vmta-time-breakdown       --noHourly
  vmta-top-bounce           --topBounced N (20) --byDate
`;

const status = `Exit status: 0 done, 1 a file could not be read (the others were), 2 wrong usage.
`;

export const help = `posthorn acct: finds and counts records in accounting files

${findHelp}
${statsHelp}
${status}`;

export async function run(args: string[]): Promise<number> {
  const [program, ...words] = args;
  if (program === 'find') return await find(words);
  if (program === 'stats') return await stats(words);
  const what = program === undefined ? 'say what to do' : `there is no "posthorn acct ${printable(program)}"`;
  throw new UserError(`${what}; see "posthorn acct --help"`, { exitCode: 2 });
}

/** `pmtaacctfind`. */
export function mainFind(argv: string[]): Promise<void> {
  return main('pmtaacctfind', findHelp, find, argv);
}

/** `pmtastats`. */
export function mainStats(argv: string[]): Promise<void> {
  return main('pmtastats', statsHelp, stats, argv);
}

async function main(
  name: string,
  text: string,
  program: (argv: readonly string[]) => Promise<number>,
  argv: string[],
): Promise<void> {
  if (argv.includes('--help') || argv.includes('-h') || argv.length === 0) {
    (argv.length === 0 ? process.stderr : process.stdout).write(`${text}\n${status}`);
    process.exitCode = argv.length === 0 ? 2 : 0;
  } else if (argv.includes('--version')) process.stdout.write(`${name} ${version()}\n`);
  else process.exitCode = await guarded(name, () => program(argv));
}

async function find(argv: readonly string[]): Promise<number> {
  return (await findRecords(readFindCall(argv), streams())) ? 0 : 1;
}

async function stats(argv: readonly string[]): Promise<number> {
  return (await printStats(readStatsCall(argv), streams(), systemClock.now() / 1000)) ? 0 : 1;
}

function streams(): ToolStreams {
  let closed = false;
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // The reader (head, a pager) has enough.
    if (error.code !== 'EPIPE') throw error;
    closed = true;
  });
  return {
    stdin: process.stdin,
    write: (text) =>
      new Promise((done) => {
        if (closed) done(false);
        else process.stdout.write(text, () => done(!closed));
      }),
    complain: (line) => process.stderr.write(`${printable(line)}\n`),
  };
}
