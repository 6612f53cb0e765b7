/** What a job id may hold: printable ASCII without blank, double quote and backtick. */
const UNSAFE = /[^A-Za-z0-9!#$%&'()*+,\-./:;<=>?@[\\\]^_{|}~]+/gu;

const LONGEST_JOB_NAME = 64;

/** Whether a job id can be used as it stands: in X-Job, `pmta` commands, accounting files and as `campaign_id`. */
export function isJobName(text: string): boolean {
  return text.length > 0 && text.length <= LONGEST_JOB_NAME && text.search(UNSAFE) < 0;
}

/**
 * Maps any text (a campaign's name) to a job id: each run of characters that a job id must not hold becomes one `_`,
 * `_` at either end goes, at most 64 characters stay. '' when nothing usable is left.
 */
export function toJobName(text: string): string {
  return text
    .slice(0, 16 * LONGEST_JOB_NAME)
    .replace(UNSAFE, '_')
    .replace(/_{2,}/g, '_')
    .replace(/^_/, '')
    .slice(0, LONGEST_JOB_NAME)
    .replace(/_$/, '');
}
