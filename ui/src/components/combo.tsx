// biome-ignore-all lint/a11y/noNoninteractiveElementToInteractiveRole: the combobox pattern makes a list of offers.
// biome-ignore-all lint/a11y/useFocusableInteractive: offers are pointed at by aria-activedescendant, not focused.
import { useSignal } from '@preact/signals';
import type { Ref } from 'preact';
import { useId } from 'preact/hooks';

export interface Choice {
  readonly key: string;
  readonly label: string;
  readonly hint: string;
}

/** A text field with offers below it: arrow keys choose, Enter takes, Escape closes (ARIA combobox pattern). */
export function Combo<C extends Choice>({
  label,
  placeholder,
  text,
  onText,
  choices,
  onChoose,
  onSubmit,
  fieldRef,
  describedBy,
  always = false,
}: {
  label: string;
  placeholder: string;
  text: string;
  onText: (text: string) => void;
  choices: readonly C[];
  onChoose: (choice: C, beside: boolean) => void;
  onSubmit: (text: string) => void;
  fieldRef?: Ref<HTMLInputElement>;
  describedBy?: string;
  /** Offers stay open without the focus having been used, as in a dialog made for them. */
  always?: boolean;
}) {
  const id = useId();
  const open = useSignal(always);
  const active = useSignal(-1);
  const shown = open.value && choices.length > 0;
  const at = Math.min(active.value, choices.length - 1);

  const key = (event: KeyboardEvent) => {
    if (event.isComposing) return;
    switch (event.key) {
      case 'ArrowDown':
      case 'ArrowUp': {
        event.preventDefault();
        if (!shown) {
          open.value = true;
          return;
        }
        const step = event.key === 'ArrowDown' ? 1 : -1;
        active.value =
          at < 0 && step < 0 ? choices.length - 1 : (at + step + choices.length) % choices.length;
        return;
      }
      case 'Enter': {
        event.preventDefault();
        const choice = shown ? choices[at] : undefined;
        if (choice) onChoose(choice, event.ctrlKey || event.metaKey);
        else onSubmit(text);
        active.value = -1;
        return;
      }
      case 'Tab': {
        if (!always) open.value = false;
        return;
      }
      case 'Escape': {
        if (!shown || always) return;
        event.preventDefault();
        event.stopPropagation();
        open.value = false;
      }
    }
  };

  return (
    <div class="combo">
      <input
        ref={fieldRef ?? null}
        class="field"
        type="text"
        role="combobox"
        autocomplete="off"
        autocapitalize="off"
        spellcheck={false}
        aria-label={label}
        aria-describedby={describedBy}
        aria-autocomplete="list"
        aria-expanded={shown}
        aria-controls={shown ? id : undefined}
        aria-activedescendant={shown && at >= 0 ? `${id}-${at}` : undefined}
        placeholder={placeholder}
        value={text}
        onInput={(event) => {
          open.value = true;
          active.value = always ? 0 : -1;
          onText(event.currentTarget.value);
        }}
        onFocus={() => {
          open.value = true;
        }}
        onBlur={() => {
          if (!always) open.value = false;
          active.value = -1;
        }}
        onKeyDown={key}
      />
      {shown && (
        <ul id={id} role="listbox" aria-label={label}>
          {choices.map((choice, i) => (
            // biome-ignore lint/a11y/useKeyWithClickEvents: the field above has the keys of the list.
            <li
              key={choice.key}
              id={`${id}-${i}`}
              role="option"
              aria-selected={i === at}
              onMouseDown={(event) => event.preventDefault()}
              onClick={(event) => onChoose(choice, event.ctrlKey || event.metaKey)}
            >
              <span>{choice.label}</span>
              <span class="muted">{choice.hint}</span>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
