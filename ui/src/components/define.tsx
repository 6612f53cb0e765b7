import { type Metric, metric } from '../metrics.ts';
import { Popover } from './popover.tsx';

/** The question mark beside a label: what the figure means and how it is computed. */
export function Define({ of, align }: { of: Metric; align?: 'start' | 'end' }) {
  return (
    <Popover
      button="?"
      buttonClass="define"
      buttonLabel={`What ${of.label.toLowerCase()} means`}
      label={of.label}
      align={align ?? 'start'}
    >
      {() => (
        <div class="definition">
          <strong>{of.label}</strong>
          <p>{of.definition}</p>
          <p class="muted">= {of.formula}</p>
          {of.unit === 'percent' && (
            <p class="muted">Divided by: {metric(of.denominator).label.toLowerCase()}.</p>
          )}
        </div>
      )}
    </Popover>
  );
}
