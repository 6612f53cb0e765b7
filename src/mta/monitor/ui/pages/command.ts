import { atLeast } from '../../access.ts';
import type { Command } from '../../command.ts';
import { splitLine } from '../../command-line.ts';
import { COMMANDS } from '../../commands.ts';
import type { Control } from '../../control.ts';
import { runWords } from '../../run.ts';
import { type Html, html } from '../html.ts';
import { done, fault, fold, table } from '../parts.ts';
import type { View, Visit } from '../visit.ts';

const TITLE = 'Command';

/** Gives a command as `pmta` would. An address fills the line in and gives nothing: that takes the button. */
export async function commandPage(visit: Visit): Promise<View> {
  const { visitor, fields, post } = visit;
  if (!atLeast(visitor.access.level, 'operator')) {
    return {
      code: 403,
      title: TITLE,
      body: fault(`this needs http-access operator; you have ${visitor.access.level}`),
    };
  }
  const line = fields.get('command') ?? '';
  const answered = post ? await given(visit, line) : { code: 200, answer: null };
  const mine = COMMANDS.filter(({ level }) => atLeast(visitor.access.level, level));
  const body = html`<form method="post" action="/ui/command" class="command">
<input type="hidden" name="csrf" value="${visit.token}">
<label for="command">Command</label>
<div class="line"><input id="command" name="command" value="${line}" list="commands" autocomplete="off" autocapitalize="off" spellcheck="false" aria-describedby="usage" required>
<button type="submit">Run</button></div>
<datalist id="commands">${mine.map(option)}</datalist>
<p id="usage" class="muted" aria-live="polite">Words may be shortened while they are unique; options may stand anywhere.</p>
</form>
${answered.answer}
${fold(
  'all-commands',
  'All commands',
  table(
    'Commands',
    [
      { head: 'Command', cell: ({ words }) => words.join(' ') },
      { head: 'Arguments', cell: ({ usage }) => usage },
      { head: 'What it does', cell: ({ summary }) => summary },
      { head: 'Level', cell: ({ level }) => level },
    ],
    mine,
    '',
  ),
)}`;
  return { code: answered.code, title: TITLE, body };
}

async function given(visit: Visit, line: string): Promise<{ code: number; answer: Html }> {
  const words = splitLine(line);
  if ('error' in words) return { code: 400, answer: fault(words.error) };
  const ran = await runWords(visit.deps, visit.visitor, words, 'operator');
  if ('unknown' in ran) return { code: 400, answer: fault(ran.unknown) };
  if ('refused' in ran) {
    const tooOld = visit.visitor.mayChange
      ? null
      : html`<p>Nothing was done. Press Run again if you meant it.</p>`;
    return { code: 403, answer: html`${fault(ran.refused)}${tooOld}` };
  }
  if ('failure' in ran.result) return { code: 409, answer: fault(ran.result.failure) };
  const { text = '', message = '' } = ran.result;
  const output =
    text === ''
      ? null
      : html`<h2>Answer</h2><pre class="output" tabindex="0" role="region" aria-label="Answer to ${line}">${text}</pre>`;
  const said = message === '' && text !== '' ? null : done(message || 'Done.');
  return { code: 200, answer: html`${output}${said}` };
}

function option({ words, usage, options, summary }: Command<Control>): Html {
  const names = Object.entries(options).map(([name, kind]) => `--${name}${kind === 'flag' ? '' : '='}`);
  return html`<option value="${words.join(' ')}" label="${summary}" data-usage="${usage}" data-options="${names.join(' ')}"></option>`;
}
