// Keeps compiled code between starts, where only this user can have put it: whoever could write to the folder could
// run code as the server, so the system's temporary folder will not do. Without such a folder everything works as
// well, only the start takes longer. NODE_COMPILE_CACHE names another folder, NODE_DISABLE_COMPILE_CACHE=1 turns it off.
import { mkdirSync, statSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { homedir } from 'node:os';
import path from 'node:path';

/** The folder of this user's cache; null when there is none that is safe. */
function folder() {
  // systemd names the folder that CacheDirectory= gives to a service.
  const base = process.env.CACHE_DIRECTORY || process.env.XDG_CACHE_HOME || path.join(homedir(), '.cache');
  if (!path.isAbsolute(base)) return null;
  const dir = path.join(base, 'posthorn');
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const { uid, mode } = statSync(dir);
  return uid === process.getuid?.() && (mode & 0o022) === 0 ? dir : null;
}

try {
  // With the variable set Node has turned it on already.
  const dir = process.env.NODE_COMPILE_CACHE ? null : folder();
  if (dir !== null) enableCompileCache(dir);
} catch {
  // No home, a full or read-only disk.
}
