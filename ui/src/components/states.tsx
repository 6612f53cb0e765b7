import type { ComponentChildren } from 'preact';
import { announce } from '../announce.ts';
import type { Fault } from '../api.ts';
import { copyText } from '../copy.ts';
import type { Resource } from '../resource.ts';
import { words } from '../words.ts';
import { clockSeconds } from '../zone.ts';
import { Notice } from './notices.tsx';

/** What stands in a panel that has no figures yet, or none to show. Old figures stay, dimmed, while newer ones come. */
export function Loaded<T>({
  from,
  grant,
  skeleton,
  children,
}: {
  from: Resource<T>;
  /** Grant that the panel needs, for the reader who lacks it. */
  grant: string;
  skeleton: ComponentChildren;
  children: (value: T) => ComponentChildren;
}) {
  const { value, fault } = from;
  if (fault && fault.kind !== 'signed-out' && (value === undefined || fault.kind !== 'network')) {
    return <FaultBox fault={fault} grant={grant} retry={from.retry} />;
  }
  if (value === undefined) return <div class={from.slow ? undefined : 'waiting'}>{skeleton}</div>;
  const lost = fault?.kind === 'network';
  return (
    <>
      {lost && <Notice>{words.states.stale(clockSeconds(from.at, 'UTC'))}</Notice>}
      <div class={lost || (from.stale && from.slow) ? 'dimmed' : undefined}>{children(value)}</div>
    </>
  );
}

export function FaultBox({ fault, grant, retry }: { fault: Fault; grant: string; retry: () => void }) {
  if (fault.kind === 'forbidden') {
    return (
      <div class="state">
        <h3>{words.states.forbidden}</h3>
        <p>{words.states.forbiddenText(grant)}</p>
      </div>
    );
  }
  const copy = async () => {
    const lines = [
      fault.message,
      fault.call,
      `status ${fault.status}`,
      fault.requestId && `request ${fault.requestId}`,
    ];
    const done = await copyText(lines.filter(Boolean).join('\n'));
    announce(done ? words.events.copied : words.events.notCopied);
  };
  return (
    <div class="state fault" role="alert">
      <h3>{words.states.fault}</h3>
      <p>
        {fault.message}
        {fault.status > 0 && ` (${fault.status}${fault.requestId ? `, request ${fault.requestId}` : ''})`}
      </p>
      <div class="actions">
        <button type="button" class="button" onClick={retry}>
          {words.states.retry}
        </button>
        <button type="button" class="button quiet" onClick={copy}>
          {words.states.copyFault}
        </button>
      </div>
    </div>
  );
}

/** A grey shape of the size of what is coming. */
export function Skeleton({ kind }: { kind: 'tile' | 'chart' | 'table' | 'line' }) {
  return <div class={`skeleton ${kind}`} role="img" aria-label={words.states.loading} />;
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="state">
      <h2>{title}</h2>
      {children}
    </div>
  );
}
