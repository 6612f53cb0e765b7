// Reports as mail systems of many makes write them, through the real reception: reports/NAME.eml is the mail,
// reports/NAME.json what accounting must say of it. `{{received}}` stands for the Received field of the message that
// the report is about, which is sent first; what is between `{{base64}}` and `{{/base64}}` is encoded, and so is `{{qp}}`.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { expandColumns, type RecordType, titleOf } from '../src/mta/accounting/columns.ts';
import { rowMaker, typeOf } from '../src/mta/accounting/values.ts';
import { startReception } from '../src/mta/testing.ts';

interface Expected {
  /** Recipients of the message that is sent before. */
  readonly sent: readonly string[];
  /** Address that the report comes to. */
  readonly to: string;
  /** Rows of accounting, in order: these columns must have these values, a status its code. */
  readonly records: readonly Readonly<Record<string, string>>[];
  /** The mail goes on to the ordinary queue. */
  readonly delivered: boolean;
}

const folder = path.join(import.meta.dirname, 'reports');
const names = readdirSync(folder)
  .filter((name) => name.endsWith('.eml'))
  .map((name) => name.slice(0, -4));
const patterns = (list: readonly string[]) =>
  `<email-patterns>\n${list.map((name) => `body-pattern-file ${folder}/${name}.pat`).join('\n')}\n</email-patterns>`;

const config = `
  relay-domain bounces.test
  relay-domain fbl.test
  <source 0/0>
    always-allow-relaying yes
  </source>
  <bounce-processor>
    <address-list>
      domain bounces.test
    </address-list>
    ${patterns(['exim', 'gateway', 'french', 'japanese'])}
  </bounce-processor>
  <feedback-loop-processor>
    <address-list>
      domain fbl.test
    </address-list>
    ${patterns(['complaint'])}
  </feedback-loop-processor>`;

const filled = (mail: string, received: string) =>
  mail
    .replaceAll('{{received}}', received)
    // Quoted-printable with a soft break wherever one may fall, within our id too.
    .replace(/\{\{qp\}\}(.*?)\{\{\/qp\}\}/gs, (_, text: string) =>
      text.replaceAll('=', '=3D').replace(/([^\r\n]{30})(?=[^\r\n])/g, '$1=\r\n'),
    )
    .replace(/\{\{base64\}\}(.*?)\{\{\/base64\}\}/gs, (_, text: string) =>
      Buffer.from(text, 'latin1').toString('base64').replace(/.{76}/g, '$&\r\n'),
    );

test('every report of the collection is read as it should be', async (t) => {
  assert.ok(names.length >= 60);
  const files = readdirSync(folder).filter((name) => name.endsWith('.pat'));
  const mta = await startReception(t, config, {
    files: Object.fromEntries(
      files.map((name) => [path.join(folder, name), readFileSync(path.join(folder, name), 'utf8')]),
    ),
  });
  for (const name of names) {
    await t.test(name, async () => {
      const expected = JSON.parse(readFileSync(path.join(folder, `${name}.json`), 'utf8')) as Expected;
      await mta.send({ from: 'return@bounces.test', to: expected.sent });
      const received = /^Received: .*?(?=\r\n[^ \t])/ms.exec(mta.stored().content.toString('latin1'))![0];
      const mail = filled(readFileSync(path.join(folder, `${name}.eml`), 'latin1'), received);
      const [before, queued] = [mta.outcomes().length, mta.queued.length];
      // Octets as they are: charsets that no UTF-8 is.
      const answer = await mta.send({ from: '', to: [expected.to], content: Buffer.from(mail, 'latin1') });
      assert.match(answer, /^250 /);
      const told = mta
        .outcomes()
        .slice(before)
        .filter(({ kind }) => kind !== 'received');
      const rows = told.map((outcome) => rowOf(typeOf[outcome.kind], outcome));
      assert.deepEqual(
        rows.map((row, i) =>
          Object.fromEntries(
            Object.keys(expected.records[i] ?? row).map((column) => [
              column,
              column === 'dsnStatus' ? row[column]!.split(' ')[0]! : row[column],
            ]),
          ),
        ),
        expected.records,
      );
      assert.equal(mta.queued.length > queued, expected.delivered, 'delivered');
    });
  }
});

function rowOf(
  type: RecordType,
  outcome: Parameters<ReturnType<typeof rowMaker>>[0],
): Record<string, string> {
  const { columns } = expandColumns(type, ['*', 'matched', 'matchedRcpt']);
  const title = titleOf([type], new Map([[type, columns]]));
  const make = rowMaker(type, title, columns, { time: String, userString: '', hide: null });
  return Object.fromEntries(make(outcome).map((value, i) => [title[i]!, value]));
}
