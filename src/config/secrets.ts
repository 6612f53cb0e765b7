import { allDirectives } from './directives/index.ts';

const names = [...new Set(allDirectives().flatMap(({ name, type }) => (type.secret ? [name] : [])))];
/** Also in a comment: a password that is out of use in one place may be in use in another. */
const secretLine = new RegExp(`^([ \\t]*#*[ \\t]*(?:${names.join('|')})[ \\t]+)\\S.*$`, 'gim');

/** A configuration file's text with the values of passwords and keys blotted out, line by line. */
export function withoutSecrets(text: string): string {
  return text.replace(secretLine, '$1********');
}
