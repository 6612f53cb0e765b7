// Takes pickup files into a spool and prints each that was stored, until it is killed.
import { loadConfig } from '../../../../config/index.ts';
import { openSpool } from '../../../../spool/spool.ts';
import { spoolIdMaker } from '../../../../spool/spool-id.ts';
import type { Envelope } from '../../../../spool/stored-message.ts';
import { systemClock } from '../../../../system/clock.ts';
import { silentLog } from '../../../../system/log.ts';
import { Pickup } from '../pickup.ts';

const [spoolDir, configFile] = process.argv.slice(2) as [string, string];
const { config } = loadConfig(configFile, {});
const spool = openSpool(spoolDir);
const newId = spoolIdMaker(Date.now);
const pickup = new Pickup({
  async takeMessage({ recipients, parts, claim }) {
    const spoolId = newId();
    const { address } = recipients[0]!;
    const facts = { spoolId, receivedAt: Date.now(), sender: '', size: 1 } as Envelope['facts'];
    const stored = [{ address, originalRecipient: '', messageId: '', notify: [] }];
    const pending = { spoolId, index: 0, domain: 'a.test', vmta: 'v', receivedAt: 1 };
    await spool.store(
      { facts, recipients: stored } as unknown as Envelope,
      parts[0]!.content,
      [{ ...pending, attempts: 0, holdUntil: 0, priority: 50 }],
      [],
      claim,
    );
    process.stdout.write(`${address}\n`);
    return { accepted: true, spoolId, reply: { code: 250, text: 'ok' } };
  },
  spool,
  spoolRefusal: () => null,
  clock: systemClock,
  log: silentLog,
});
await pickup.apply(config!);
