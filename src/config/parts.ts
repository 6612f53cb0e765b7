import type { Origin } from './diagnostic.ts';
import type { Extractor } from './pattern/extract.ts';
import type { Settings } from './settings.ts';
import type { AliasFrom, ListenerAddress } from './values/compound.ts';
import type { Cidr, HostPort } from './values/network.ts';

export interface Listener extends ListenerAddress {
  /** Name of the source that this listener binds. */
  readonly source: string | null;
  readonly settings: Settings<'smtp-listener'>;
  /** Null for the listener that exists when none is configured. */
  readonly origin: Origin | null;
}

export interface ApiListener extends ListenerAddress {
  readonly settings: Settings<'transmissions-api-listener'>;
  readonly origin: Origin;
}

export interface Spool {
  readonly dir: string;
  readonly settings: Settings<'spool'>;
  readonly origin: Origin;
}

export interface AcctFile {
  /** An absolute path, or `|` and a command line. */
  readonly target: string;
  readonly settings: Settings<'acct-file'>;
  readonly origin: Origin;
}

export interface SmtpUser {
  readonly name: string;
  readonly password: string | null;
  /** Name of the source whose settings apply after login. */
  readonly source: string;
  readonly settings: Settings<'smtp-user'>;
  readonly origin: Origin;
}

export interface SourceHost {
  readonly cidr: Cidr;
  readonly host: string;
  readonly origin: Origin;
}

export interface Pool {
  readonly name: string;
  /** Members as slots of the rotation: in order, a name as often as it was written. */
  readonly members: readonly string[];
  readonly settings: Settings<'virtual-mta-pool'>;
  readonly origin: Origin;
}

export interface Vmta {
  readonly name: string;
  /** The VMTA's own values, else those of its pools, else those of the file level. */
  readonly settings: Settings<'virtual-mta'>;
  /** The pool whose `<domain>` blocks apply to this VMTA. */
  readonly pool: Pool | null;
  /** Every pool it is a member of, in file order. */
  readonly pools: readonly Pool[];
  /** Addresses to send from with their names; empty when the operating system chooses. */
  readonly sourceHosts: readonly SourceHost[];
  /** The name in EHLO when the source address has none of its own. */
  readonly hostName: string;
  /** Null for `{default}`. */
  readonly origin: Origin | null;
}

export interface OutboundProxy {
  readonly name: string;
  readonly server: HostPort;
  readonly client: { readonly ip: string; readonly port: number; readonly host: string };
  readonly origin: Origin;
}

export interface Alias {
  readonly from: AliasFrom;
  readonly to: readonly string[];
  readonly origin: Origin;
}

export interface BodyPatternFile {
  readonly file: string;
  /** Null when the file is not there, which only a look at a foreign configuration allows. */
  readonly pattern: Extractor | null;
  readonly origin: Origin;
}

export interface Processor {
  readonly settings: Settings<'bounce-processor'>;
  /** Whether mail to this envelope recipient is to be examined. */
  matches(address: string): boolean;
  /** In the order in which they are tried. */
  readonly bodyPatternFiles: readonly BodyPatternFile[];
  readonly logMatchInfo: boolean;
  readonly origin: Origin;
}
