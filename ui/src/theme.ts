/** Light, dark, or as the system. The first paint is decided by /theme.js; this keeps it true afterwards. */
import { signal } from '@preact/signals';

export type ThemeChoice = 'system' | 'light' | 'dark';
const STORAGE_KEY = 'posthorn.theme';

export const themeChoice = signal<ThemeChoice>(read());

/** The theme in force. Charts draw with it. */
export const theme = signal<'light' | 'dark'>('light');

const system = typeof matchMedia === 'undefined' ? null : matchMedia('(prefers-color-scheme: dark)');

function read(): ThemeChoice {
  try {
    const stored = localStorage.getItem(STORAGE_KEY);
    return stored === 'light' || stored === 'dark' ? stored : 'system';
  } catch {
    return 'system';
  }
}

function apply(): void {
  const choice = themeChoice.peek();
  const dark = choice === 'dark' || (choice === 'system' && system?.matches === true);
  document.documentElement.dataset.theme = dark ? 'dark' : 'light';
  theme.value = dark ? 'dark' : 'light';
}

export function chooseTheme(choice: ThemeChoice): void {
  themeChoice.value = choice;
  try {
    if (choice === 'system') localStorage.removeItem(STORAGE_KEY);
    else localStorage.setItem(STORAGE_KEY, choice);
  } catch {
    // It then holds for this page only.
  }
  apply();
}

/** Begins to follow the system. Called once. */
export function startTheme(): void {
  apply();
  system?.addEventListener('change', apply);
}
