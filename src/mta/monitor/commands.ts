/** Every command of the management interface. */
import type { Command } from './command.ts';
import { jobCommands } from './commands/jobs.ts';
import { listCommands } from './commands/lists.ts';
import { messageCommands } from './commands/messages.ts';
import { queueCommands } from './commands/queues.ts';
import { serverCommands } from './commands/server.ts';
import { toolCommands } from './commands/tools.ts';
import { traceCommand } from './commands/trace.ts';
import type { Control } from './control.ts';

export const COMMANDS: readonly Command<Control>[] = [
  ...serverCommands,
  ...listCommands,
  ...queueCommands,
  ...jobCommands,
  ...messageCommands,
  traceCommand,
  ...toolCommands,
];
