import type { Block } from './block.ts';
import { Fault } from './diagnostic.ts';
import { LayeredSettings } from './settings.ts';
import { type Cidr, canonicalIp, cidrContains, ipBytes, readCidr } from './values/network.ts';

/** Client addresses whose blocks are remembered; the oldest is forgotten first. */
const REMEMBERED = 10_000;

/** Who submits: an address over SMTP (with listener and user), or one of the doors that have no address. */
export interface SourceQuery {
  readonly clientIp: string | null;
  /** Name of the source that the listener binds. */
  readonly listenerSource?: string | null;
  /** Name of the source of the authenticated user. */
  readonly userSource?: string | null;
  readonly reserved?: '{pickup}' | '{transmissions-api}';
}

/** The `<source>` blocks: by address, and by name (config language 8). */
export class SourceBlocks {
  readonly #networks: { cidr: Cidr; block: Block }[] = [];
  readonly #named = new Map<string, Block>();
  readonly #global: Block;
  readonly #byIp = new Map<string, readonly Block[]>();
  readonly #settings = new Map<string, LayeredSettings<'source'>>();
  readonly #ids = new Map<Block, number>();

  constructor(global: Block) {
    this.#global = global;
    for (const block of global.blocksOf('source')) {
      const cidr = readCidr(block.argument);
      if (cidr instanceof Fault) this.#named.set(block.argument.toLowerCase(), block);
      else this.#networks.push({ cidr, block });
    }
    // Longest prefix first; of equals (10/8 and 10.0.0.0/8) the later one, whose settings override.
    this.#networks.reverse().sort((a, b) => b.cidr.bits - a.cidr.bits);
  }

  /** The block of a named source. */
  named(name: string): Block | undefined {
    return this.#named.get(name.toLowerCase());
  }

  names(): string[] {
    return [...this.#named.values()].map((b) => b.argument);
  }

  /** Blocks that apply, the one that counts most first; the file level is last. */
  layers(query: SourceQuery): Block[] {
    const layers: (Block | undefined)[] = [];
    if (query.reserved) {
      layers.push(this.named(query.reserved));
    } else {
      if (query.userSource) layers.push(this.named(query.userSource), this.named('{auth}'));
      if (query.listenerSource) layers.push(this.named(query.listenerSource));
      if (query.clientIp !== null) layers.push(...this.#byAddress(query.clientIp));
    }
    return [...new Set(layers.filter((b) => b !== undefined)), this.#global];
  }

  /** Effective settings; the same object for the same set of blocks. */
  settings(query: SourceQuery): LayeredSettings<'source'> {
    const layers = this.layers(query);
    const key = layers.map((b) => this.#id(b)).join(' ');
    const known = this.#settings.get(key);
    if (known) return known;
    const made = new LayeredSettings('source', layers, this.#global);
    this.#settings.set(key, made);
    return made;
  }

  #id(block: Block): number {
    let id = this.#ids.get(block);
    if (id === undefined) {
      id = this.#ids.size;
      this.#ids.set(block, id);
    }
    return id;
  }

  #byAddress(text: string): readonly Block[] {
    const known = this.#byIp.get(text);
    if (known) return known;
    const ip = canonicalIp(text);
    if (!ip) return [];
    const bytes = ipBytes(ip);
    // 0/0 stands for every client, of either family; ::/0 comes before it for IPv6 clients.
    const found = this.#networks
      .filter(({ cidr }) => cidrContains(cidr, bytes) || (cidr.family === 4 && cidr.bits === 0))
      .sort((a, b) => b.cidr.bits - a.cidr.bits || (bytes.length === 16 ? b.cidr.family - a.cidr.family : 0))
      .map(({ block }) => block);
    if (this.#byIp.size >= REMEMBERED) this.#byIp.delete(this.#byIp.keys().next().value!);
    this.#byIp.set(text, found);
    return found;
  }
}
