import { bindings, lettersOn, setLetters } from '../keys.ts';
import { words } from '../words.ts';
import { Dialog } from './dialog.tsx';

/** The keys that work on the present page, and the switch that turns the single letters off. */
export function KeysDialog({ onClose }: { onClose: () => void }) {
  const seen = new Set<string>();
  const list = bindings.value
    .toReversed()
    .flat()
    .filter((b) => !seen.has(b.keys) && seen.add(b.keys))
    .sort((a, b) => a.keys.localeCompare(b.keys));
  return (
    <Dialog title={words.keys.title} onClose={onClose}>
      <dl class="keys-list">
        {list.map((binding) => (
          <KeyLine key={binding.keys} keys={binding.keys} does={binding.does} />
        ))}
      </dl>
      <h3>{words.keys.chart}</h3>
      <p class="muted">{words.chart.help}</p>
      <label class="inline-label">
        <input
          type="checkbox"
          checked={lettersOn.value}
          onChange={(event) => setLetters(event.currentTarget.checked)}
        />
        {words.keys.letters}
      </label>
    </Dialog>
  );
}

function KeyLine({ keys, does }: { keys: string; does: string }) {
  const parts = keys.startsWith('mod+') ? ['Ctrl', keys.slice(4).toUpperCase()] : keys.split(' ');
  return (
    <>
      <dt>
        {parts.map((part, i) => (
          <span key={part}>
            {i > 0 && ' '}
            <kbd>{part === 'Escape' ? 'Esc' : part}</kbd>
          </span>
        ))}
      </dt>
      <dd>{does}</dd>
    </>
  );
}
