/**
 * Giving up root. A server that is to run as another user has its files made by that user from the start, and needs
 * root only to bind ports below 1024: it lowers its effective user first, takes root back for each bind, and drops it
 * for good when it listens.
 */

let lowered = false;
let raised = 0;
/** Known to Node, not yet to its types. */
const { initgroups } = process as unknown as { initgroups(user: string, group: string): void };

/** True when there is root to give up. */
export function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/** Acts as this user (and its group of the same name) from now on; false when there is no such user. */
export function lowerTo(user: string): boolean {
  const group = groupOf(user);
  try {
    initgroups(user, group);
    process.setegid!(group);
    process.seteuid!(user);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_UNKNOWN_CREDENTIAL') throw error;
    process.seteuid!(0);
    process.setegid!(0);
    process.setgroups!([0]);
    return false;
  }
  lowered = true;
  return true;
}

/** Root again until the returned function is called; nothing when root was not lowered or is gone. */
export async function withRoot(): Promise<() => void> {
  if (inPlaceOfUs) return await inPlaceOfUs();
  if (!lowered) return () => {};
  const user = process.geteuid!();
  if (raised++ === 0) {
    process.seteuid!(0);
    held = user;
  }
  let over = false;
  return () => {
    if (over) return;
    over = true;
    if (--raised === 0 && lowered) process.seteuid!(held);
  };
}

/** The effective user that the last `withRoot` to end goes back to. */
let held = 0;

let inPlaceOfUs: typeof withRoot | null = null;

/** For a thread, which cannot change the user of its process: who does it in its place. */
export function rootBy(another: typeof withRoot): void {
  inPlaceOfUs = another;
}

/** No way back from here. */
export function dropFor(user: string): void {
  if (!lowered) return;
  lowered = false;
  const group = groupOf(user);
  process.seteuid!(0);
  process.setegid!(0);
  initgroups(user, group);
  process.setgid!(group);
  process.setuid!(user);
  if (process.getuid!() === 0 || process.geteuid!() === 0) throw new Error('root could not be given up');
}

/** Accounts of servers have a group of their own name; others have "nogroup". */
function groupOf(user: string): string {
  return user === 'nobody' ? 'nogroup' : user;
}
