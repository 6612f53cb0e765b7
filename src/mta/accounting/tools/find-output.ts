import { csvRow } from '../csv.ts';
import { escapeMarkup, htmlPage } from './escape.ts';

/** How found records are written. */
export const findFormats = ['standard', 'csv', 'tsv', 'json', 'html', 'xml', 'prettyxml'] as const;
export type FindFormat = (typeof findFormats)[number];

/** Text of an output format; `columns` may change between two records, when the files have other columns. */
export interface FindWriter {
  begin(): string;
  columns(columns: readonly string[]): string;
  record(columns: readonly string[], values: readonly string[]): string;
  end(): string;
}

const nothing = () => '';

const writers: Readonly<Record<FindFormat, () => FindWriter>> = {
  standard: () => ({
    begin: nothing,
    columns: nothing,
    record(columns, values) {
      const lines = columns.map((name, i) => (values[i] === '' ? '' : `${name}: ${oneLine(values[i]!)}\n`));
      return `${lines.join('')}\n`;
    },
    end: nothing,
  }),
  csv: () => ({
    begin: nothing,
    columns: (columns) => `${csvRow(columns)}\r\n`,
    record: (_, values) => `${csvRow(values)}\r\n`,
    end: nothing,
  }),
  tsv: () => ({
    begin: nothing,
    columns: (columns) => `${columns.map(tabbed).join('\t')}\n`,
    record: (_, values) => `${values.map(tabbed).join('\t')}\n`,
    end: nothing,
  }),
  json: () => ({
    begin: nothing,
    columns: nothing,
    // Not a plain object: a column may be called "__proto__".
    record: (columns, values) =>
      `{${columns.map((name, i) => `${JSON.stringify(name)}:${JSON.stringify(values[i])}`).join(',')}}\n`,
    end: nothing,
  }),
  html: () => {
    const page = htmlPage('Accounting records');
    let open = false;
    const cells = (tag: string, values: readonly string[]) =>
      `<tr>${values.map((v) => `<${tag}>${escapeMarkup(v)}</${tag}>`).join('')}</tr>\n`;
    const close = () => (open ? '</tbody>\n</table>\n' : '');
    return {
      begin: () => page.head,
      columns(columns) {
        const before = close();
        open = true;
        return `${before}<table>\n<thead>\n${cells('th', columns)}</thead>\n<tbody>\n`;
      },
      record: (_, values) => cells('td', values),
      end: () => close() + page.end,
    };
  },
  xml: () => xml('', ''),
  prettyxml: () => xml('\n', '  '),
};

export function findWriter(format: FindFormat): FindWriter {
  return writers[format]();
}

function xml(newLine: string, indent: string): FindWriter {
  return {
    begin: () => `<?xml version="1.0" encoding="UTF-8"?>\n<records>${newLine}`,
    columns: nothing,
    record(columns, values) {
      const fields = columns.map((name, i) => {
        // Names of header columns come from a configuration and need not be names of XML.
        const valid = /^[A-Za-z_][\w.-]*$/.test(name) && !/^xml/i.test(name);
        const [start, end] = valid ? [name, name] : [`field name="${escapeMarkup(name)}"`, 'field'];
        return `${indent}${indent}<${start}>${escapeMarkup(values[i]!)}</${end}>${newLine}`;
      });
      return `${indent}<record>${newLine}${fields.join('')}${indent}</record>${newLine}`;
    },
    end: () => '</records>\n',
  };
}

/** For people: a value must not look like two lines, nor move the cursor of a terminal. */
function oneLine(value: string): string {
  return value.replace(/[\u0000-\u001f\u007f-\u009f]+/g, ' ');
}

const tabEscapes: Readonly<Record<string, string>> = { '\t': '\\t', '\n': '\\n', '\r': '\\r', '\\': '\\\\' };

/** Tabs and line ends as backslash sequences, which is what databases read. */
function tabbed(value: string): string {
  return value.replace(/[\t\n\r\\]/g, (c) => tabEscapes[c]!);
}
