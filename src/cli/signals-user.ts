import { existsSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline/promises';
import { parseArgs } from 'node:util';
import { Accounts } from '../signals/accounts/accounts.ts';
import { openSqlite } from '../signals/accounts/document-store.ts';
import {
  grantsOfRole,
  isUsername,
  LEAST_PASSWORD,
  MOST_PASSWORD,
  type Role,
  roles,
} from '../signals/accounts/users.ts';
import { UserError } from '../system/user-error.ts';

export const userHelp = `posthorn signals user: who signs in to Signals by name and password

Usage: posthorn signals user add NAME --data DIR [--role admin|reporting] [--email ADDRESS]
       posthorn signals user password NAME --data DIR
       posthorn signals user remove NAME --data DIR
       posthorn signals user list --data DIR

The password is asked for, or read from the first line of standard input; it has at least ${LEAST_PASSWORD} characters.
"admin" (the default) may do everything, "reporting" look at everything. A new password ends the user's sessions.
The service may run meanwhile.
`;

const wrong = (message: string) =>
  new UserError(`${message}; see "posthorn signals user --help"`, { exitCode: 2 });

/** Runs one of the commands; 0 when done. */
export async function runUser(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      data: { type: 'string' },
      role: { type: 'string', default: 'admin' },
      email: { type: 'string' },
    },
  });
  const [command, name, ...rest] = positionals;
  if (!values.data) throw wrong('--data DIR is needed: the folder of the service');
  if (rest.length > 0 || (command === 'list') !== (name === undefined)) throw wrong('one name is needed');
  if (name !== undefined && !isUsername(name)) {
    throw wrong('a name begins with a letter or digit and has letters, digits and . _ + @ - only');
  }
  const role = values.role as Role;
  if (!roles.includes(role)) throw wrong(`--role must be one of ${roles.join(', ')}`);
  const file = path.join(path.resolve(values.data), 'accounts.db');
  if (!existsSync(file)) {
    throw new UserError(
      `${file} is not there; start "posthorn signals" with this folder once, or name its folder`,
    );
  }
  const documents = openSqlite(file);
  try {
    const accounts = new Accounts(documents, Date.now);
    switch (command) {
      case 'add':
        return await add(accounts, name!, role, values.email);
      case 'password':
        return await changePassword(accounts, name!);
      case 'remove':
        return await remove(accounts, name!);
      case 'list':
        return await list(accounts);
      default:
        throw wrong('the command is add, password, remove or list');
    }
  } finally {
    await documents.close();
  }
}

async function add(
  accounts: Accounts,
  username: string,
  role: Role,
  email: string | undefined,
): Promise<number> {
  if (await accounts.users.get(username)) throw new UserError(`there is a user ${username} already`);
  const password = await askPassword();
  const user = { username, access_level: role, ...(email === undefined ? {} : { email }) };
  if (!(await accounts.users.add(user))) throw new UserError(`there is a user ${username} already`);
  await accounts.users.setPassword(username, password);
  process.stdout.write(`${username} may sign in, as ${role} with ${grantsOfRole(role).size} grants\n`);
  return 0;
}

async function changePassword(accounts: Accounts, username: string): Promise<number> {
  if (!(await accounts.users.get(username))) throw new UserError(`there is no user ${username}`);
  await accounts.users.setPassword(username, await askPassword());
  await accounts.sessions.endAllOf(username);
  process.stdout.write(`${username} has a new password, and is signed out everywhere\n`);
  return 0;
}

async function remove(accounts: Accounts, username: string): Promise<number> {
  if (username === 'admin') throw new UserError('admin stays: sign-in links of the first key are for it');
  if (!(await accounts.users.remove(username))) throw new UserError(`there is no user ${username}`);
  await accounts.sessions.endAllOf(username);
  process.stdout.write(`${username} is removed\n`);
  return 0;
}

async function list(accounts: Accounts): Promise<number> {
  for (const user of await accounts.users.list()) {
    const signsIn = user.password === undefined ? 'by link only' : 'by password';
    const last = user.last_login === undefined ? 'never' : user.last_login;
    process.stdout.write(`${user.username}\t${user.access_level}\t${signsIn}\tlast: ${last}\n`);
  }
  return 0;
}

/** Never from the command line, where every user of the machine could read it. */
async function askPassword(): Promise<string> {
  const { stdin, stderr } = process;
  if (stdin.isTTY) stderr.write('Password (not shown): ');
  // Without an output nothing is echoed; a terminal is in raw mode meanwhile.
  const lines = createInterface({ input: stdin, terminal: stdin.isTTY });
  const password = await new Promise<string>((resolve) => {
    lines.once('line', resolve);
    lines.once('close', () => resolve(''));
  });
  lines.close();
  if (stdin.isTTY) stderr.write('\n');
  if (password.length < LEAST_PASSWORD || password.length > MOST_PASSWORD) {
    throw new UserError(`a password has ${LEAST_PASSWORD} to ${MOST_PASSWORD} characters`);
  }
  return password;
}
