/** Reads one line of the management command: words that may be shortened while unique, and `--name=value` anywhere. */

/** A command's options: whether a value follows, or the words it may be. */
export type OptionKinds = Readonly<Record<string, 'flag' | 'value'>>;

export interface CommandWords {
  readonly words: readonly string[];
  /** How many words may follow: least and most. */
  readonly arguments: readonly [least: number, most: number];
  readonly options: OptionKinds;
  /** Argument part of the usage line. */
  readonly usage: string;
}

export interface ParsedCommand<C> {
  readonly command: C;
  readonly args: readonly string[];
  /** Values of options by name; a flag has ''. */
  readonly options: ReadonlyMap<string, string>;
}

/** Longest line and most words taken; a job id or a queue name is at most a few hundred characters. */
const LONGEST = 8192;
const MOST_WORDS = 64;

/** Splits a line as a shell would, double quotes alone; a text when it cannot. */
export function splitLine(line: string): string[] | { readonly error: string } {
  if (line.length > LONGEST) return { error: `the command is longer than ${LONGEST} characters` };
  const words: string[] = [];
  let word: string | null = null;
  let quoted = false;
  for (let i = 0; i < line.length; i++) {
    const char = line[i]!;
    if (char === '"') {
      quoted = !quoted;
      word ??= '';
    } else if (quoted && char === '\\') word += line[++i] ?? '';
    else if (quoted || !/\s/.test(char)) word = (word ?? '') + char;
    else if (word !== null) {
      words.push(word);
      word = null;
    }
  }
  if (quoted) return { error: 'a quotation mark is not closed' };
  if (word !== null) words.push(word);
  if (words.length > MOST_WORDS) return { error: `the command has more than ${MOST_WORDS} words` };
  return words;
}

/** One word as `splitLine` reads it back. */
export function quoteWord(word: string): string {
  return /^[^\s"\\]+$/.test(word) ? word : `"${word.replace(/["\\]/g, '\\$&')}"`;
}

/** Finds the command that words mean (section 2: any unique beginning; the exact word wins) and reads its options. */
export function parseCommand<C extends CommandWords>(
  commands: readonly C[],
  line: readonly string[],
): ParsedCommand<C> | { readonly error: string } {
  const plain = line.filter((word) => !word.startsWith('--'));
  const found = narrowed(commands, plain);
  const said = plain.join(' ').slice(0, 100);
  if (found.length === 0) return { error: plain.length === 0 ? 'no command was given' : 'Unknown command.' };
  if (found.length > 1) {
    return { error: `"${said}" is not unique: ${found.map(({ words }) => words.join(' ')).join(', ')}` };
  }
  const command = found[0]!;
  const args = plain.slice(command.words.length);
  const options = new Map<string, string>();
  for (const word of line) {
    if (!word.startsWith('--')) continue;
    const equals = word.indexOf('=');
    const typed = (equals < 0 ? word.slice(2) : word.slice(2, equals)).toLowerCase();
    const name = Object.keys(command.options).find((known) => known.toLowerCase() === typed);
    const usage = `usage: ${command.words.join(' ')} ${command.usage}`.trimEnd();
    if (name === undefined)
      return { error: `"${word.slice(0, 100)}" is no option of ${command.words.join(' ')}; ${usage}` };
    const kind = command.options[name];
    if (kind === 'value' && (equals < 0 || equals === word.length - 1))
      return { error: `--${name} needs a value: --${name}=…` };
    options.set(name, equals < 0 ? '' : word.slice(equals + 1));
  }
  const [least, most] = command.arguments;
  if (args.length < least || args.length > most) {
    return { error: `usage: ${command.words.join(' ')} ${command.usage}`.trimEnd() };
  }
  return { command, args, options };
}

/** Narrows by one word after the other; an exact word beats those that it begins. */
function narrowed<C extends CommandWords>(commands: readonly C[], typed: readonly string[]): readonly C[] {
  let left = commands;
  for (let i = 0; left.length > 0 && left.some(({ words }) => words.length > i); i++) {
    const word = typed[i]?.toLowerCase();
    if (word === undefined || word === '') return left.filter(({ words }) => words.length === i);
    const here = left.filter(({ words }) => words[i] === word);
    left = here.length > 0 ? here : left.filter(({ words }) => words[i]?.startsWith(word));
  }
  return left;
}
