import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCommand, quoteWord, splitLine } from './command-line.ts';
import { COMMANDS } from './commands.ts';

/** The command's words, its arguments and options in one line; the error when there is one. */
function read(line: string): string {
  const words = splitLine(line);
  if ('error' in words) return words.error;
  const parsed = parseCommand(COMMANDS, words);
  if ('error' in parsed) return parsed.error;
  const options = [...parsed.options].map(([name, value]) => `${name}=${value}`);
  return [parsed.command.words.join(' '), ...parsed.args, ...options].join(' | ');
}

test('words may be shortened while they are unique; the exact word wins', () => {
  for (const [line, meaning] of [
    ['show ver', 'show version'],
    ['show dom', 'show domains'],
    ['show queue', 'show queues'],
    ['reset count', 'reset counters'],
    ['clear dns *', 'clear dnscache | *'],
    ['SHOW Status', 'show status'],
    ['list', 'list'],
    ['sh dis sou', 'show disabled sources'],
    ['set q --mode=normal a.test', 'set queue | a.test | mode=normal'],
  ] as const) {
    assert.equal(read(line), meaning, line);
  }
  assert.match(read('show'), /^Unknown command|not unique/);
  assert.match(read('show top'), /is not unique: show topqueues, show topdomains/);
  assert.equal(read('dance'), 'Unknown command.');
  assert.equal(read(''), 'no command was given');
});

test('options stand anywhere, in any case; unknown ones and missing values are told with the usage', () => {
  assert.equal(read('list --JOBID=x --maxitems=3'), 'list | jobId=x | maxitems=3');
  assert.equal(read('--retry-recipients schedule a.test/v'), 'schedule | a.test/v | retry-recipients=');
  assert.equal(read('schedule a.test/v --retry-recipients'), 'schedule | a.test/v | retry-recipients=');
  assert.match(read('list --dance'), /^"--dance" is no option of list; usage: list \[--queue=Q\]/);
  assert.equal(read('list --queue'), '--queue needs a value: --queue=…');
  assert.match(read('pause queue'), /^usage: pause queue DOMAIN/);
  assert.match(read('pause queue a b'), /^usage: pause queue DOMAIN/);
});

test('a line is split as a shell would; every word comes back as it was quoted', () => {
  assert.deepEqual(splitLine('  a "b c"  d\\e "f\\"g" ""'), ['a', 'b c', 'd\\e', 'f"g', '']);
  assert.deepEqual(splitLine('a "b'), { error: 'a quotation mark is not closed' });
  assert.ok('error' in splitLine('x'.repeat(9000)));
  assert.ok('error' in splitLine('x '.repeat(65)));
  for (const word of ['a', '', 'a b', '"', '\\', 'a\\"b', '*/*', "it's", 'x\ny', '--job=a b']) {
    assert.deepEqual(splitLine(quoteWord(word)), [word], JSON.stringify(word));
  }
});
