import '../styles/base.css';
import '../styles/controls.css';
import './api-docs.css';
import { render } from 'preact';
import { startTheme } from '../theme.ts';
import { readDocument } from './document.ts';
import { Page } from './page.tsx';

startTheme();
const into = document.getElementById('app')!;
fetch('/api/v1/openapi.json')
  .then(async (response) => {
    if (!response.ok) throw new Error(String(response.status));
    render(<Page api={readDocument(await response.json())} />, into);
  })
  .catch(() => {
    render(<p role="alert">The description of the API did not come. Load the page again.</p>, into);
  });
