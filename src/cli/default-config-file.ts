/** The configuration that is meant when none is named: PMTA_CONFIG, as scripts set it, else PowerMTA's place. */
export function defaultConfigFile(): string {
  return process.env.PMTA_CONFIG || '/etc/pmta/config';
}
