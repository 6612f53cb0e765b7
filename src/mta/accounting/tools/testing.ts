import { findRecords, readFindCall } from './find.ts';
import { printStats, readStatsCall } from './stats.ts';

export interface ToolRun {
  readonly ok: boolean;
  readonly out: string;
  readonly complaints: readonly string[];
}

/** Runs `pmtaacctfind` or `pmtastats` on a text that comes as standard input, in chunks of any size. */
export async function runTool(
  tool: 'find' | 'stats',
  args: readonly string[],
  input: string | Buffer = '',
  { chunk = 64 * 1024, now = 0 } = {},
): Promise<ToolRun> {
  const bytes = Buffer.from(input);
  let out = '';
  const complaints: string[] = [];
  const streams = {
    stdin: (async function* () {
      for (let at = 0; at < bytes.length; at += chunk) yield bytes.subarray(at, at + chunk);
    })(),
    write: async (text: string) => {
      out += text;
      return true;
    },
    complain: (line: string) => void complaints.push(line),
  };
  const ok =
    tool === 'find'
      ? await findRecords(readFindCall(args), streams)
      : await printStats(readStatsCall(args), streams, now);
  return { ok, out, complaints };
}
