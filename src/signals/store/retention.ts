/** Days that each kind of data is kept. */
export interface Retention {
  /** Single events: search, and what roll-ups can be made anew from. */
  readonly events: number;
  /** Roll-ups and series: metrics, scores. */
  readonly metrics: number;
  /** What is known of a message, so that late opens, clicks and complaints find it. */
  readonly messages: number;
  /** Batches as they came, their failures and their outcomes. */
  readonly batches: number;
  /** State of a recipient: when it was first written to, when it last engaged. */
  readonly recipients: number;
}

/** SparkPost's own figures; a recipient is of the cohort `365d` for up to 365 days. */
export const defaultRetention: Retention = {
  events: 10,
  metrics: 190,
  messages: 60,
  batches: 10,
  recipients: 400,
};
