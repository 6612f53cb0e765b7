import { words } from '../words.ts';
import { Icon } from './icon.tsx';
import { Pick } from './scope-bar.tsx';

/** Where in a long list the reader is, and the ways on. */
export function Pager({
  text,
  n,
  onSize,
  back,
  backLabel = 'Previous rows',
  on,
  onLabel = 'Next rows',
}: {
  text: string;
  n: number;
  onSize: (n: number) => void;
  back: (() => void) | null;
  backLabel?: string;
  on: (() => void) | null;
  onLabel?: string;
}) {
  return (
    <div class="pager">
      <span class="num">{text}</span>
      <span class="spring" />
      <Pick
        label={words.events.perPage}
        value={String(n)}
        options={['10', '25', '50', '100'].map((size) => [size, size])}
        onPick={(size) => onSize(Number(size))}
      />
      <button type="button" class="button small" disabled={!back} onClick={() => back?.()}>
        <Icon name="earlier" />
        {backLabel}
      </button>
      <button type="button" class="button small" disabled={!on} onClick={() => on?.()}>
        {onLabel}
        <Icon name="later" />
      </button>
    </div>
  );
}
