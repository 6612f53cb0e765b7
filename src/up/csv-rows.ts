import { createReadStream } from 'node:fs';

/**
 * Rows of an RFC 4180 file as maps by column, one at a time; the first line names the columns. A last line without
 * its line end (the writer was killed) is left out.
 */
export async function* csvRows(file: string): AsyncGenerator<ReadonlyMap<string, string>> {
  let title: string[] | null = null;
  for await (const fields of csvLines(createReadStream(file, 'utf8'))) {
    if (!title) title = fields;
    else yield new Map(fields.map((value, i) => [title![i] ?? `column ${i + 1}`, value]));
  }
}

async function* csvLines(chunks: AsyncIterable<string>): AsyncGenerator<string[]> {
  let fields: string[] = [];
  let field = '';
  let quoted = false;
  let quoteSeen = false;
  for await (const chunk of chunks) {
    for (const c of chunk) {
      if (quoted && !quoteSeen) {
        if (c === '"') quoteSeen = true;
        else field += c;
      } else if (c === '"') {
        // Inside quotes a second quote is one of the value's; elsewhere it opens a quoted value.
        if (quoteSeen) field += '"';
        quoted = true;
        quoteSeen = false;
      } else if (c === ',' || c === '\n') {
        fields.push(c === '\n' && !quoted && field.endsWith('\r') ? field.slice(0, -1) : field);
        field = '';
        quoted = false;
        quoteSeen = false;
        if (c === '\n') {
          yield fields;
          fields = [];
        }
      } else if (!quoteSeen || c !== '\r') {
        // After the closing quote a CR is half of the line's end, and not the value's.
        field += c;
      }
    }
  }
}
