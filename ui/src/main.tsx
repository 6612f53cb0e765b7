import 'uplot/dist/uPlot.min.css';
import './styles/base.css';
import './styles/shell.css';
import './styles/controls.css';
import './styles/data.css';
import './styles/events.css';
import { render } from 'preact';
import { App } from './app.tsx';
import { startKeys } from './keys.ts';
import { startRouter } from './router.ts';
import { startSession } from './session.ts';
import { startTheme } from './theme.ts';

startTheme();
startRouter();
startKeys();
void startSession(Date.now());
render(<App />, document.getElementById('app')!);
