/** The configuration's files: to look at for operators, without secrets; to edit for administrators. */
import { createHash } from 'node:crypto';
import { constants, open } from 'node:fs/promises';
import { withoutSecrets } from '../../../../config/index.ts';
import { reason } from '../../../../system/durable-file.ts';
import { atLeast } from '../../access.ts';
import { exactly, type Html, html } from '../html.ts';
import { address, done, fault, link } from '../parts.ts';
import type { View, Visit } from '../visit.ts';

const TITLE = 'Configuration';
/** Bytes of a file that a browser may edit. */
const LARGEST = 1024 * 1024;
/** A form writes a byte with three characters, and a line's end with six. */
export const LARGEST_SAVE = 6 * LARGEST;

interface Read {
  readonly text: string;
  /** Stands for the bytes on disk, so that a change by somebody else is noticed. */
  readonly stamp: string;
  readonly lineEnd: '\n' | '\r\n';
  /** Why a browser would not give it back as it is; null when it would. */
  readonly uneditable: string | null;
}

export async function configurationPage(visit: Visit): Promise<View> {
  const { config, fields, post, visitor } = visit;
  const { level } = visitor.access;
  if (!atLeast(level, 'operator')) {
    return { code: 403, title: TITLE, body: fault(`this needs http-access operator; you have ${level}`) };
  }
  if (post && !atLeast(level, 'admin')) {
    return { code: 403, title: TITLE, body: fault(`this needs http-access admin; you have ${level}`) };
  }
  const asked = fields.get('file');
  const file = asked ? config.files.find((name) => name === asked) : config.file;
  const written = post ? fields.get('text') : null;
  const unsaved = (code: number, why: string): View => ({
    code,
    title: TITLE,
    body: html`${fileList(config.files, file ?? '')}
${fault(why)}
${written === null ? null : viewer('What you wrote; it is not saved', written)}`,
  });
  if (file === undefined) return unsaved(404, 'The configuration in force has no such file.');
  const read = await readFile(file);
  if ('fault' in read) return unsaved(409, read.fault);
  if (post && written === null) return unsaved(400, 'Nothing was sent to be saved.');
  if (written !== null && read.uneditable !== null) return unsaved(409, read.uneditable);
  const saved =
    written !== null
      ? await save(visit, file, read, written)
      : { code: 200, note: null, text: read.text, now: read };
  const edits = atLeast(level, 'admin') && saved.now.uneditable === null;
  const body = html`${fileList(config.files, file)}
${saved.note}
${saved.now.uneditable === null ? null : html`<p class="note">${saved.now.uneditable}</p>`}
${edits ? editor(visit, file, saved.text, saved.now.stamp) : viewer(file, atLeast(level, 'admin') ? read.text : withoutSecrets(read.text))}`;
  return { code: saved.code, title: TITLE, body };
}

interface Saved {
  readonly code: number;
  readonly note: Html | null;
  /** What is in the editor: after a failure what was written into it. */
  readonly text: string;
  readonly now: Read;
}

async function save(visit: Visit, file: string, read: Read, written: string): Promise<Saved> {
  const { deps, fields, visitor } = visit;
  const plain = written.replace(/\r\n?/g, '\n');
  const failed = (code: number, note: Html): Saved => ({ code, note, text: plain, now: read });
  if (!visitor.mayChange) {
    deps.log.warn('management command refused', { client: visitor.client, command: 'save configuration' });
    return failed(
      403,
      fault('This page was too old, so nothing was saved. Your text is below: save it again.'),
    );
  }
  if (fields.get('was') !== read.stamp) {
    return failed(
      409,
      html`${fault('Nothing was saved: the file on disk has changed since you opened it. Your text is below; saving it again replaces what is on disk now.')}
<p>${link(address('config', { file }), 'The file as it is now')}</p>`,
    );
  }
  const text = plain.replaceAll('\n', read.lineEnd);
  if (Buffer.byteLength(text) > LARGEST)
    return failed(413, fault(`Nothing was saved: the text is longer than ${LARGEST} bytes.`));
  deps.log.info(`configuration file ${file} is to be replaced`, { client: visitor.client });
  const result = await deps.control.reload({ file, text });
  if ('failure' in result) {
    return failed(
      409,
      html`${fault(`Nothing was saved, and the configuration in force is the one before.\n${result.failure}`)}
${faultyLines(result.failure, file, plain)}`,
    );
  }
  const now = await readFile(file);
  return {
    code: 200,
    note: done(result.message ?? 'Configuration reloaded.'),
    text: plain,
    now: 'fault' in now ? read : now,
  };
}

/** The lines that the errors name, as they were written. */
function faultyLines(failure: string, file: string, text: string): Html | null {
  const lines = text.split('\n');
  const named = [...failure.matchAll(/^(?:Error|Warning) in line (\d+) of (.+?): /gm)]
    .filter(([, , of]) => of === file)
    .map(([, number]) => Number(number))
    .filter((number) => number >= 1 && number <= lines.length);
  const shown = [...new Set(named)].slice(0, 50);
  if (shown.length === 0) return null;
  return html`<ul class="faulty" aria-label="Lines with errors">${shown.map(
    (number) =>
      html`<li><a href="#text" data-line="${number}">line ${number}</a> <code>${lines[number - 1]!}</code></li>`,
  )}</ul>`;
}

function fileList(files: readonly string[], current: string): Html {
  const items = files.map(
    (file) =>
      html`<li><a href="${address('config', { file })}"${file === current ? html` aria-current="true"` : null}>${file}</a></li>`,
  );
  return html`<h2>Files</h2><ul class="files">${items}</ul>`;
}

function editor(visit: Visit, file: string, text: string, stamp: string): Html {
  // A browser leaves out the first line break of a text area.
  return html`<form method="post" action="/ui/config" class="editor">
<input type="hidden" name="csrf" value="${visit.token}">
<input type="hidden" name="file" value="${exactly(file)}">
<input type="hidden" name="was" value="${stamp}">
<label for="text">${file}</label>
<textarea id="text" name="text" rows="30" spellcheck="false" autocapitalize="off" wrap="off">
${exactly(text)}</textarea>
<p class="muted">The whole configuration is checked first. With any error nothing is saved and nothing changes.</p>
<button type="submit">Save and reload</button>
</form>`;
}

function viewer(file: string, text: string): Html {
  return html`<h2>${file}</h2><pre class="output" tabindex="0" role="region" aria-label="${file}">${text}</pre>`;
}

async function readFile(file: string): Promise<Read | { readonly fault: string }> {
  let bytes: Buffer;
  try {
    const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const facts = await handle.stat();
      if (!facts.isFile()) return { fault: `${file} is no regular file.` };
      if (facts.size > LARGEST)
        return { fault: `${file} is larger than ${LARGEST} bytes; edit it on the machine.` };
      bytes = await handle.readFile();
    } finally {
      await handle.close();
    }
  } catch (error) {
    return { fault: `${file} cannot be read: ${reason(error)}` };
  }
  const text = bytes.toString('utf8');
  const plain = text.replaceAll('\r\n', '\n');
  const lineEnd = plain === text ? '\n' : '\r\n';
  const survives =
    !plain.includes('\r') &&
    !plain.includes('\0') &&
    Buffer.from(plain.replaceAll('\n', lineEnd)).equals(bytes);
  return {
    text: plain,
    stamp: createHash('sha256').update(bytes).digest('hex'),
    lineEnd,
    uneditable: survives
      ? null
      : 'This file has bytes or line ends that a browser would change; edit it on the machine.',
  };
}
