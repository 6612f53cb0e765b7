/** What the main thread and a content thread say to each other. */
import type { TrackingSettings } from '../../tracking/tracking-plan.ts';
import type { CopyOrder, PlannedTracking, SignatureFault } from './content-work.ts';

export type Job =
  | {
      readonly job: number;
      readonly kind: 'plan';
      /** A name for the plan, by which orders for copies may find it again. */
      readonly plan: number;
      readonly content: Uint8Array<ArrayBuffer>;
      readonly settings: TrackingSettings;
    }
  | {
      readonly job: number;
      readonly kind: 'make';
      /** The plan that was made of the same content with the same settings; 0 when there is none. */
      readonly plan: number;
      /** Null: the one that the plan was made of. */
      readonly content: Uint8Array<ArrayBuffer> | null;
      readonly order: CopyOrder;
    };

export type Answer =
  | { readonly job: number; readonly kind: 'planned'; readonly planned: PlannedTracking }
  | {
      readonly job: number;
      readonly kind: 'made';
      /** To be put above the message, where `content` has not got them. */
      readonly fields: string;
      /** Null: as it was given. */
      readonly content: Uint8Array | null;
      readonly faults: readonly SignatureFault[];
    }
  /** The thread keeps the plan no longer: it wants the content. */
  | { readonly job: number; readonly kind: 'forgotten' }
  | { readonly job: number; readonly kind: 'fault'; readonly error: string };
