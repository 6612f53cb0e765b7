/**
 * A strict reader of RFC 4180 for tests: CRLF ends every record, quotes only around whole values, no bare quote, and
 * every record as wide as the first. Throws at the first fault.
 */
export function parseCsv(text: string): string[][] {
  const records: string[][] = [];
  let at = 0;
  const fail = (what: string): never => {
    throw new Error(`${what} at ${at}: ${JSON.stringify(text.slice(Math.max(0, at - 40), at + 20))}`);
  };
  while (at < text.length) {
    const record: string[] = [];
    for (;;) {
      let value = '';
      if (text[at] === '"') {
        for (at++; ; at++) {
          if (at >= text.length) fail('open quote');
          if (text[at] !== '"') value += text[at];
          else if (text[at + 1] === '"') value += text[++at];
          else break;
        }
        at++;
        if (!/[",\r\n]/.test(value)) fail('needless quotes');
      } else {
        while (at < text.length && !',\r\n'.includes(text[at]!)) {
          if (text[at] === '"') fail('bare quote');
          value += text[at++];
        }
      }
      record.push(value);
      if (text[at] === ',') at++;
      else if (text.startsWith('\r\n', at)) {
        at += 2;
        break;
      } else fail('no comma and no CRLF');
    }
    if (records[0] && records[0].length !== record.length) fail('another width than the title');
    records.push(record);
  }
  return records;
}

/** Records as objects by title. */
export function recordsOf(text: string): Map<string, string>[] {
  const [title, ...rows] = parseCsv(text);
  return rows.map((row) => new Map(title!.map((name, i) => [name, row[i]!])));
}
