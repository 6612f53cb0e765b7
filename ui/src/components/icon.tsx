/** Icons as lines in the colour of the text; always beside words or an accessible name. */
const shapes = {
  overview: 'M2 13h12M4 10V7M8 10V3M12 10V5',
  events: 'M5.5 4H14M5.5 8H14M5.5 12H14M2 4h.01M2 8h.01M2 12h.01',
  search: 'M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10ZM10.6 10.6 14 14',
  keys: 'M1.5 4.5h13v7.5h-13ZM4 7h.01M6.7 7h.01M9.3 7h.01M12 7h.01M5 9.7h6',
  light:
    'M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6ZM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3.05 3.05l1.05 1.05M11.9 11.9l1.05 1.05M3.05 12.95l1.05-1.05M11.9 4.1l1.05-1.05',
  dark: 'M13.5 9.5A6 6 0 0 1 6.5 2.5a6 6 0 1 0 7 7Z',
  system: 'M1.5 2.5h13v8.5h-13ZM5.5 14h5M8 11v3',
  out: 'M6 2H2.5v12H6M10.5 11l3-3-3-3M13 8H6',
  refresh: 'M13.5 8a5.5 5.5 0 1 1-1.6-3.9M13.5 1.5v3h-3',
  close: 'M3.5 3.5l9 9M12.5 3.5l-9 9',
  earlier: 'M10 3 5 8l5 5',
  later: 'M6 3l5 5-5 5',
  down: 'M4 6l4 4 4-4',
  up: 'M4 10l4-4 4 4',
  table: 'M2 3h12v10H2ZM2 6.5h12M2 9.8h12M6.5 6.5V13',
  chart: 'M2 2v12h12M4.5 10.5l3-4 2.5 2.5 3.5-5',
  download: 'M8 2v8M4.5 7 8 10.5 11.5 7M2.5 13.5h11',
  copy: 'M5.5 5.5h8v8h-8ZM10.5 5.5v-3h-8v8h3',
  filter: 'M2 3h12L9.5 8.5V13l-3-1.5V8.5Z',
  open: 'M9 2.5h4.5V7M13.5 2.5 7.5 8.5M11.5 9.5v4h-9v-9h4',
} as const;

export type IconName = keyof typeof shapes;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={shapes[name]} />
    </svg>
  );
}

/** The mark of the product. */
export function Horn() {
  return (
    <svg viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <rect width="32" height="32" rx="7" fill="#0B62C4" />
      <g fill="none" stroke="#fff" stroke-width="2.4" stroke-linecap="round" stroke-linejoin="round">
        <circle cx="13" cy="17" r="6" />
        <path d="M13 11h7l6-4v12l-6-4h-1" />
      </g>
    </svg>
  );
}
