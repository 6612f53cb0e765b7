import type { Mode, Queue } from './queue.ts';
import type { QueuedRecipient } from './queued-recipient.ts';

/**
 * What the scheduler tells the one that runs it. It may be in the middle of a call: nothing here may call the
 * scheduler back before it returned.
 */
export interface SchedulerOwner {
  /** A connection that was told to idle or to wait should ask for work again. */
  resume(connectionId: number): void;
  /** A connection must end at once, within a message (`allow-priority-interruption-during-transfer`). */
  interrupt?(connectionId: number): void;
  /** `nextConnection` has something new, or `nextWake` is earlier than it was. */
  wake?(): void;
  /** Whether an operator paused queues of this name before this one was made; by what. */
  pausedBy?(domain: string, vmta: string): string | null;
  onMode?(queue: Queue, mode: Mode, why: string): void;
  /** `until`: when a disabled address comes back by itself; null: not by itself. */
  onSource?(queue: Queue, address: string, disabled: boolean, why: string, until: number | null): void;
  /** Recipients now wait in this queue instead of where they were. */
  onMoved?(items: readonly QueuedRecipient[], queue: Queue): void;
  /** Reroutes lead in a circle: these queues, the mail rests in the last. Told once for each circle (D8.3). */
  onRerouteLoop?(queues: readonly string[]): void;
}
