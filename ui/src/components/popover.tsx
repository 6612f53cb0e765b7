import { useSignal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useId, useLayoutEffect, useRef } from 'preact/hooks';

/** A button that opens a small panel beside itself. Escape, a click elsewhere and leaving with Tab close it. */
export function Popover({
  button,
  buttonClass,
  buttonLabel,
  pressed,
  align = 'start',
  label,
  children,
}: {
  button: ComponentChildren;
  buttonClass: string;
  /** Accessible name where the button shows only a sign. */
  buttonLabel?: string;
  pressed?: boolean;
  align?: 'start' | 'end';
  /** Accessible name of the panel. */
  label: string;
  children: (close: () => void) => ComponentChildren;
}) {
  const open = useSignal(false);
  const host = useRef<HTMLSpanElement>(null);
  const id = useId();
  const close = () => {
    if (host.current?.contains(document.activeElement)) host.current.querySelector('button')?.focus();
    open.value = false;
  };

  useLayoutEffect(() => {
    if (!open.value) return;
    const away = (event: Event) => {
      if (event.target instanceof Node && !host.current?.contains(event.target)) open.value = false;
    };
    document.addEventListener('pointerdown', away);
    document.addEventListener('focusin', away);
    host.current?.querySelector<HTMLElement>('.popover input, .popover select')?.focus();
    return () => {
      document.removeEventListener('pointerdown', away);
      document.removeEventListener('focusin', away);
    };
  }, [open.value]);

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: Escape is taken from whatever inside has the focus.
    <span
      class="popover-host"
      ref={host}
      onKeyDown={(event) => {
        if (event.key !== 'Escape' || !open.value) return;
        event.preventDefault();
        event.stopPropagation();
        close();
      }}
    >
      <button
        type="button"
        class={buttonClass}
        aria-label={buttonLabel}
        aria-expanded={open.value}
        aria-controls={open.value ? id : undefined}
        aria-pressed={pressed}
        onClick={() => {
          open.value = !open.value;
        }}
      >
        {button}
      </button>
      {open.value && (
        // biome-ignore lint/a11y/useSemanticElements: a fieldset would name a group of a form; this is any content.
        <div id={id} class={`popover ${align === 'end' ? 'end' : ''}`} role="group" aria-label={label}>
          {children(close)}
        </div>
      )}
    </span>
  );
}
