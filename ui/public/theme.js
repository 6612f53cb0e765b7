// Runs before the first paint, so that a page asked for in the dark never flashes white. A file of its own because
// the content policy allows no inline script.
(() => {
  let choice = 'system';
  try {
    choice = localStorage.getItem('posthorn.theme') || 'system';
  } catch {
    // Storage can be forbidden; the system's theme is right then.
  }
  const dark =
    choice === 'dark' || (choice !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches);
  document.documentElement.dataset.theme = dark ? 'dark' : 'light';
})();
