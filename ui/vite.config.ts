import { defineConfig } from 'vite';

export default defineConfig({
  base: '/',
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    // The application, and the page to try the API, which needs nothing of it.
    rollupOptions: { input: ['index.html', 'api-docs.html'].map((name) => `${import.meta.dirname}/${name}`) },
    target: 'es2022',
    // The page's content policy allows its own origin only: no data: addresses, no inline script.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
  },
});
