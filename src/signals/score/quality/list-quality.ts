import data from './list-quality.json' with { type: 'json' };

/** Why an address looks like one of a badly collected list. */
export type QualityFault = 'role' | 'placeholder' | 'random' | 'disposable';

const roles = new Set(data.roles);
const placeholders = new Set(data.placeholders);
const disposable = new Set(data.disposable);

/**
 * The pattern of bad collection that an address matches, `null` if none. `local` is '' when only a hash of the
 * address is known; then the domain alone can tell. Both in lower case.
 */
export function qualityFault(local: string, domain: string): QualityFault | null {
  if (disposable.has(domain)) return 'disposable';
  const plus = local.indexOf('+');
  const name = plus > 0 ? local.slice(0, plus) : local;
  if (name === '') return null;
  if (roles.has(name)) return 'role';
  if (placeholders.has(name)) return 'placeholder';
  return isRandom(name) ? 'random' : null;
}

const CONSONANT = /[bcdfghjklmnpqrstvwxz]/;
const VOWEL = /[aeiouy]/;

/** Whether a local part was hit rather than typed. Names of other scripts are left alone: the rules are for Latin. */
function isRandom(name: string): boolean {
  const { random } = data;
  if (name.length < random.shortest || name.length > 64 || !/^[a-z0-9._-]+$/.test(name)) return false;
  let consonants = 0;
  let longest = 0;
  let vowels = 0;
  let letters = 0;
  let same = 1;
  let mostSame = 1;
  let changes = 0;
  let before = '';
  let kindBefore = '';
  for (const c of name) {
    const kind = c >= 'a' && c <= 'z' ? 'letter' : c >= '0' && c <= '9' ? 'digit' : '';
    if (kind === 'letter') letters++;
    if (VOWEL.test(c)) vowels++;
    consonants = CONSONANT.test(c) ? consonants + 1 : 0;
    longest = Math.max(longest, consonants);
    same = c === before ? same + 1 : 1;
    mostSame = Math.max(mostSame, same);
    if (kind !== '' && kindBefore !== '' && kind !== kindBefore) changes++;
    before = c;
    kindBefore = kind;
  }
  return (
    longest >= random.consonantsInARow ||
    (letters >= random.shortest && vowels / letters < random.leastVowels) ||
    changes >= random.changesBetweenLettersAndDigits ||
    mostSame >= random.sameInARow
  );
}
