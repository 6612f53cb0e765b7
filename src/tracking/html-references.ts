/** Names that browsers also know without a semicolon: the Latin-1 letters and a few capitals (HTML standard, 13.5). */
const LATIN1 =
  'nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn sup2 sup3 acute micro ' +
  'para middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest Agrave Aacute Acirc Atilde Auml Aring AElig Ccedil ' +
  'Egrave Eacute Ecirc Euml Igrave Iacute Icirc Iuml ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash Ugrave ' +
  'Uacute Ucirc Uuml Yacute THORN szlig agrave aacute acirc atilde auml aring aelig ccedil egrave eacute ecirc euml ' +
  'igrave iacute icirc iuml eth ntilde ograve oacute ocirc otilde ouml divide oslash ugrave uacute ucirc uuml yacute ' +
  'thorn yuml';

const LEGACY = new Map<string, string>([
  ['amp', '&'],
  ['AMP', '&'],
  ['lt', '<'],
  ['LT', '<'],
  ['gt', '>'],
  ['GT', '>'],
  ['quot', '"'],
  ['QUOT', '"'],
  ['COPY', '\u00a9'],
  ['REG', '\u00ae'],
]);
for (const [i, name] of LATIN1.split(' ').entries()) LEGACY.set(name, String.fromCharCode(0xa0 + i));

/** Names that need their semicolon, as far as they can be meant in an address. */
const NAMED = new Map<string, string>(
  Object.entries({
    apos: "'",
    Tab: '\t',
    NewLine: '\n',
    excl: '!',
    num: '#',
    dollar: '$',
    percnt: '%',
    lpar: '(',
    rpar: ')',
    ast: '*',
    midast: '*',
    plus: '+',
    comma: ',',
    period: '.',
    sol: '/',
    colon: ':',
    semi: ';',
    equals: '=',
    quest: '?',
    commat: '@',
    lsqb: '[',
    lbrack: '[',
    bsol: '\\',
    rsqb: ']',
    rbrack: ']',
    Hat: '^',
    lowbar: '_',
    UnderBar: '_',
    grave: '`',
    lcub: '{',
    lbrace: '{',
    verbar: '|',
    vert: '|',
    VerticalLine: '|',
    rcub: '}',
    rbrace: '}',
    hyphen: '\u2010',
    dash: '\u2010',
    ndash: '\u2013',
    mdash: '\u2014',
    lsquo: '\u2018',
    rsquo: '\u2019',
    ldquo: '\u201c',
    rdquo: '\u201d',
    bull: '\u2022',
    hellip: '\u2026',
    euro: '\u20ac',
    trade: '\u2122',
    ensp: '\u2002',
    emsp: '\u2003',
    thinsp: '\u2009',
    zwnj: '\u200c',
    zwj: '\u200d',
  }),
);

/** Numbers 0x80 to 0x9f mean Windows-1252. */
const WINDOWS = [...'€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ'];

const REFERENCE = /&(?:#(?:[xX]([0-9a-fA-F]{1,8})|([0-9]{1,10}))(;?)|([A-Za-z][A-Za-z0-9]{0,40})(;?))/g;

/**
 * Text of an attribute with its character references decoded as browsers do (HTML standard, 13.2.5.72 and following):
 * a name without semicolon before a letter, digit or `=` stays, so that `?a=1&copy=2` keeps its parameter. `null` if
 * it holds `&name;` that we do not know, because then the address that a browser would go to is not known either.
 */
export function decodeReferences(text: string): string | null {
  const first = text.indexOf('&');
  if (first < 0) return text;
  if (onlyAmp(text, first)) return text.replaceAll('&amp;', '&');
  let unknown = false;
  const decoded = text.replace(REFERENCE, (...groups) => {
    const [whole, hex, decimal, , name, semicolon, offset] = groups as unknown as string[];
    if (name === undefined) return character(hex ? Number.parseInt(hex, 16) : Number.parseInt(decimal!, 10));
    if (semicolon === ';') {
      const found = LEGACY.get(name) ?? NAMED.get(name);
      if (found === undefined) unknown = true;
      return found ?? whole!;
    }
    const found = LEGACY.get(name);
    const next = text.charAt(Number(offset) + whole!.length);
    return found === undefined || next === '=' || /[A-Za-z0-9]/.test(next) ? whole! : found;
  });
  return unknown ? null : decoded;
}

/** Whether all references are `&amp;`, as in nearly all addresses. */
function onlyAmp(text: string, first: number): boolean {
  for (let at = first; at >= 0; at = text.indexOf('&', at + 5)) {
    if (!text.startsWith('amp;', at + 1)) return false;
  }
  return true;
}

function character(code: number): string {
  if (code >= 0x80 && code <= 0x9f) return WINDOWS[code - 0x80]!;
  if (code === 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return '\ufffd';
  return String.fromCodePoint(code);
}
