import { reason } from '../system/durable-file.ts';
import { UserError } from '../system/user-error.ts';

/** Turns faults that a person can mend into one sentence and an exit code; anything else is ours, with its stack. */
export async function guarded(name: string, run: () => Promise<number>): Promise<number> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof UserError) {
      process.stderr.write(`${name}: ${error.message}\n`);
      return error.exitCode;
    }
    // node:util parseArgs: its messages are sentences about the command line.
    if ((error as NodeJS.ErrnoException)?.code?.startsWith('ERR_PARSE_ARGS')) {
      process.stderr.write(`${name}: ${(error as Error).message.split('. ')[0]}; see "${name} --help"\n`);
      return 2;
    }
    process.stderr.write(`${name}: this is a fault of the program: ${reason(error)}\n`);
    process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
    return 1;
  }
}
