// Refreshes what changes by itself, completes commands, leads to faulty lines. Every page works without it.

const REFRESH_MS = 10_000;
const live = document.querySelector('[data-live]');
const refresh = document.getElementById('refresh');

/** Somebody works in it, or marks text: then it stays. */
function inUse() {
  const focused = document.activeElement;
  if (focused?.closest('input, select, textarea') && live.contains(focused)) return true;
  const selection = document.getSelection();
  return selection !== null && !selection.isCollapsed && live.contains(selection.anchorNode);
}

async function renew() {
  if (!refresh.checked || document.hidden || inUse()) return;
  const response = await fetch(location.href, { headers: { Accept: 'text/html' } });
  if (!response.ok || !(response.headers.get('Content-Type') ?? '').startsWith('text/html')) return;
  const next = new DOMParser()
    .parseFromString(await response.text(), 'text/html')
    .querySelector('[data-live]');
  if (!next || inUse()) return;
  for (const { id } of live.querySelectorAll('details[open]'))
    next.querySelector(`#${id}`)?.setAttribute('open', '');
  // Where somebody is by keyboard, and how far a table is scrolled, stay too.
  const focusable = 'a, button, summary, [tabindex]';
  const at = [...live.querySelectorAll(focusable)].indexOf(document.activeElement);
  const scrolled = [...live.querySelectorAll('.scroll')].map((box) => box.scrollLeft);
  const top = window.scrollY;
  live.replaceChildren(...next.childNodes);
  for (const [i, box] of [...live.querySelectorAll('.scroll')].entries()) box.scrollLeft = scrolled[i] ?? 0;
  if (at >= 0) [...live.querySelectorAll(focusable)][at]?.focus({ preventScroll: true });
  window.scrollTo(window.scrollX, top);
}

if (live && refresh) {
  refresh.closest('label').hidden = false;
  refresh.checked = localStorage.getItem('posthorn.refresh') !== 'off';
  refresh.addEventListener('change', () => {
    localStorage.setItem('posthorn.refresh', refresh.checked ? 'on' : 'off');
  });
  // A server that is away for a moment is asked again the next time.
  setInterval(() => renew().catch(() => {}), REFRESH_MS);
}

const line = document.getElementById('command');
if (line) {
  const list = document.getElementById('commands');
  const usage = document.getElementById('usage');
  const usual = usage.textContent;
  const commands = [...list.options].map(({ value, label, dataset }) => ({ value, label, ...dataset }));
  const offer = () => {
    const typed = line.value.replace(/\s+/g, ' ').trimStart();
    const command = commands
      .filter(({ value }) => typed === value || typed.startsWith(`${value} `))
      .sort((a, b) => b.value.length - a.value.length)[0];
    usage.textContent = command ? `${command.value} ${command.usage}: ${command.label}` : usual;
    const whole = typed.endsWith(' ') ? typed.trimEnd() : typed.replace(/ \S*$/, '');
    const options = (command?.options ?? '')
      .split(' ')
      .filter((name) => name !== '' && !typed.includes(name));
    const offered = commands
      .map(({ value, label }) => ({ value, label }))
      .concat(
        options.map((name) => ({ value: `${command.value === typed ? typed : whole} ${name}`, label: name })),
      );
    list.replaceChildren(...offered.map(({ value, label }) => new Option(label, value)));
  };
  line.addEventListener('input', offer);
  offer();
}

for (const link of document.querySelectorAll('a[data-line]')) {
  link.addEventListener('click', (event) => {
    event.preventDefault();
    const text = document.getElementById('text');
    const lines = text.value.split('\n');
    const number = Number(link.dataset.line);
    const start = lines.slice(0, number - 1).join('\n').length + (number > 1 ? 1 : 0);
    text.focus();
    text.setSelectionRange(start, start + lines[number - 1].length);
    text.scrollTop = (text.scrollHeight / lines.length) * Math.max(0, number - 5);
  });
}

document.querySelector('[data-focus]')?.focus();
