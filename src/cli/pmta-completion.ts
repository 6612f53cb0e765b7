/** `pmta completion bash|zsh`: a script made from the commands themselves, so that it never falls behind them. */
import type { CommandWords } from '../mta/monitor/command-line.ts';

export type Shell = 'bash' | 'zsh';

const OWN_OPTIONS = ['--help', '--xml', '--dom', '--json', '--config', '--watch'];

export function completionScript(shell: Shell, commands: readonly CommandWords[]): string {
  const next = new Map<string, Set<string>>();
  const options = new Map<string, string[]>();
  for (const command of commands) {
    for (let i = 0; i < command.words.length; i++) {
      const said = command.words.slice(0, i).join(' ');
      const words = next.get(said) ?? new Set();
      next.set(said, words.add(command.words[i]!));
    }
    options.set(
      command.words.join(' '),
      Object.entries(command.options).map(([name, kind]) => `--${name}${kind === 'value' ? '=' : ''}`),
    );
  }
  const cases = [...next].map(([said, words]) => {
    const own = said === '' ? OWN_OPTIONS : (options.get(said) ?? []);
    return `    '${said}') words='${[...[...words].sort(), ...own].join(' ')}' ;;`;
  });
  for (const [said, own] of options) {
    if (!next.has(said)) cases.push(`    '${said}'|'${said} '*) words='${own.join(' ')}' ;;`);
  }
  const head = shell === 'zsh' ? '#compdef pmta\nautoload -Uz bashcompinit && bashcompinit\n' : '';
  return `${head}# Completion of pmta; for example: eval "$(pmta completion ${shell})"
_pmta() {
  local words='' said='' i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "\${COMP_WORDS[i]}" in
      -*|=) ;;
      *) said="$said \${COMP_WORDS[i]}" ;;
    esac
  done
  case "\${said# }" in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -F _pmta pmta
`;
}
