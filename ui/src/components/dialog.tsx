import type { ComponentChildren } from 'preact';
import { useId, useLayoutEffect, useRef } from 'preact/hooks';
import { words } from '../words.ts';
import { Icon } from './icon.tsx';

/** A modal dialog: keeps the focus, Escape closes it, and the focus goes back to where it was. */
export function Dialog({
  title,
  onClose,
  className = '',
  bare = false,
  children,
}: {
  title: string;
  /** Missing: the dialog cannot be closed without doing what it asks. */
  onClose?: () => void;
  className?: string;
  /** Title for assistive technology only. */
  bare?: boolean;
  children: ComponentChildren;
}) {
  const box = useRef<HTMLDialogElement>(null);
  const id = useId();
  useLayoutEffect(() => {
    const before = document.activeElement;
    const dialog = box.current;
    dialog?.showModal();
    return () => {
      dialog?.close();
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape is the dialog's own key.
    <dialog
      ref={box}
      class={className}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        onClose?.();
      }}
      onClick={(event) => {
        if (event.target === event.currentTarget) onClose?.();
      }}
    >
      <div class="body">
        <header class={bare ? 'visually-hidden' : undefined}>
          <h2 id={id}>{title}</h2>
          {onClose && !bare && (
            <button
              type="button"
              class="button quiet icon-only"
              aria-label={words.events.close}
              onClick={onClose}
            >
              <Icon name="close" />
            </button>
          )}
        </header>
        {children}
      </div>
    </dialog>
  );
}
