/** Commands about jobs: hold what belongs to one in whatever queue it lies (management guide, section 5). */
import type { Command } from '../command.ts';
import type { Control } from '../control.ts';

/** Job ids are kept as they are written, without blanks and control characters. */
const JOB_ID = /^[^\s\p{Cc}]{1,500}$/u;

export const jobCommands: readonly Command<Control>[] = [
  {
    words: ['pause', 'job'],
    arguments: [1, 1],
    options: {},
    usage: 'JOBID',
    summary: 'holds the recipients of a job. Holds across a restart',
    level: 'admin',
    async run(control, { args: [job] }) {
      if (!JOB_ID.test(job!)) return { failure: 'a job id has no blanks and no control characters' };
      if (!(await control.pauses.job(job!, true))) return { failure: 'too many jobs are paused' };
      control.scheduler.pauseJob(job!, 'pmta pause job');
      return { data: '', message: 'paused job.' };
    },
  },
  {
    words: ['resume', 'job'],
    arguments: [1, 1],
    options: {},
    usage: 'JOBID',
    summary: 'ends the pause of a job',
    level: 'admin',
    async run(control, { args: [job], now }) {
      await control.pauses.job(job!, false);
      control.scheduler.resumeJob(job!, now);
      control.kick();
      return { data: '', message: 'resumed job.' };
    },
  },
];
