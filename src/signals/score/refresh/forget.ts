import { localName, onCluster } from '../../store/ddl.ts';
import type { Engine } from '../../store/engine.ts';
import { actsTable, recipientsTable, touchesTable } from './tables.ts';

/**
 * Removes all that the scores know of a recipient, with every sender; `sha1`: of the lower-case address, hexadecimal.
 * Daily figures are sums that name nobody and stay. Its events must be gone before, or the next refresh takes it up
 * again from those of the open days. Resolves when it is done.
 */
export async function forgetRecipient(engine: Engine, sha1: string): Promise<void> {
  const bytes = Buffer.from(sha1, 'hex');
  if (bytes.length !== 20) throw new Error('not a SHA-1 in hexadecimal');
  // As the engine reads them: the first eight bytes, the least first.
  const r = bytes.readBigUInt64LE(0).toString();
  for (const table of [recipientsTable, touchesTable, actsTable]) {
    const name = localName(table.name, engine.cluster);
    await engine.background.write(
      `ALTER TABLE ${name}${onCluster(engine.cluster)} DELETE WHERE r = {r:UInt64} SETTINGS mutations_sync = 2`,
      { r },
    );
  }
}
