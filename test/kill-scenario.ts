/**
 * A mail server under load that can be killed: the real program, a host that it delivers to, clients that keep a
 * ledger of what was acknowledged to them, and the comparison of the three with the accounting files.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  connectSmtp,
  createSmtpServer,
  reply,
  type SmtpServer,
  smtpServerOptions,
} from '../src/smtp/index.ts';
import { openSpool } from '../src/spool/spool.ts';
import { systemClock } from '../src/system/clock.ts';
import { silentLog } from '../src/system/log.ts';
import { csvRows } from '../src/up/csv-rows.ts';
import { type FaultLayer, faultLayer, randomFrom } from './fault-layer.ts';
import { freePorts, Program, temporaryFolder, until } from './program.ts';

const CLIENTS = 4;

interface Taken {
  readonly recipient: string;
  /** Which start of the server it came from. */
  readonly run: number;
  /** The connection that it came over, and its transaction. */
  readonly connection: object;
  readonly transaction: object;
}

/** A hung server is given up after so many answers without any change, however long a slow machine takes for them. */
const MOST_SAME_ANSWERS = 2000;
/** Only ends a test that hangs; no slow machine takes so long. */
export const HUNG_MS = 600_000;

export interface Verdict {
  readonly submitted: number;
  readonly acknowledged: number;
  readonly delivered: number;
  /** Delivered again after a kill, because it came between the host's 250 and our record. */
  readonly repeated: number;
  /** Most transactions of one connection that a kill repeated. */
  readonly mostOfConnection: number;
  /** Stored, although the client was not told because the kill came before. */
  readonly unacknowledged: number;
  /** Messages that failed, each of whose senders got one report. */
  readonly reports: number;
}

export class KillScenario {
  readonly #random: () => number;
  readonly #dir: string;
  readonly #disk: string;
  readonly #config: string;
  readonly #port: number;
  readonly #management: number;
  readonly #host: SmtpServer;
  readonly layer: FaultLayer | null;
  #program: Program | null = null;
  #run = 0;
  #sending = false;
  #clients: Promise<void>[] = [];
  #next = 0;
  readonly #submitted = new Set<string>();
  readonly #acknowledged = new Set<string>();
  readonly #taken: Taken[] = [];
  readonly #deferredOnce = new Set<string>();
  /** Replies to messages that were refused, by code. */
  readonly refusals = new Map<number, number>();

  static async start(
    t: TestContext,
    seed: number,
    faults: Record<string, string> | null = null,
    /** Lines of the configuration, besides. */
    settings = '',
  ): Promise<KillScenario> {
    const scenario = await new KillScenario(seed, await freePorts(2), faults).#open(settings);
    t.after(async () => {
      scenario.#sending = false;
      scenario.#program?.process.kill('SIGKILL');
      await scenario.#host.close(0);
    });
    return scenario;
  }

  private constructor(seed: number, ports: number, faults: Record<string, string> | null) {
    this.#random = randomFrom(seed);
    this.#dir = temporaryFolder();
    this.#disk = path.join(this.#dir, 'disk');
    for (const name of ['spool', 'acct', 'state'])
      mkdirSync(path.join(this.#disk, name), { recursive: true });
    this.#config = path.join(this.#dir, 'config');
    this.#port = ports;
    this.#management = ports + 1;
    this.layer = faults && faultLayer(this.#disk, path.join(this.#dir, 'control'), faults);
    this.#host = createSmtpServer(
      () => ({
        options: smtpServerOptions({ hostName: 'host.test' }),
        handlers: {
          onRcpt: ({ address }) => {
            if (address.startsWith('gone')) return reply(550, '5.1.1', 'no such user');
            if (!address.startsWith('slow') || this.#deferredOnce.has(address)) return null;
            this.#deferredOnce.add(address);
            return reply(450, '4.2.1', 'try again later');
          },
          onMessage: async ({ envelope }, connection) => {
            const run = this.#run;
            // A kill may come while the host has the message and we do not know it yet.
            await sleep(this.#random() * 6);
            for (const { address: recipient } of envelope.recipients) {
              this.#taken.push({ recipient, run, connection, transaction: envelope });
            }
            return null;
          },
        },
      }),
      { clock: systemClock, log: silentLog },
    );
  }

  async #open(settings: string): Promise<this> {
    const host = await this.#host.listen('127.0.0.1', 0, 'the host of the test');
    writeFileSync(
      this.#config,
      `host-name mx.test
      log-file ${this.#dir}/log
      state-dir ${this.#disk}/state
      http-mgmt-port ${this.#management}
      http-redirect-to-https no
      http-access 127.0.0.1 monitor
      smtp-listener 127.0.0.1:${this.#port}
      <spool ${this.#disk}/spool>
      </spool>
      <source 127.0.0.1>
        always-allow-relaying yes
        smtp-service yes
      </source>
      <domain *>
        smtp-hosts [127.0.0.1]:${host}
        use-starttls no
        max-smtp-out 4
        retry-after 1s
        retry-recipients-after 1s
      </domain>
      <acct-file ${this.#disk}/acct/acct.csv>
        records d, b, t, r
        max-size 1M
      </acct-file>
      ${settings}`,
    );
    return this;
  }

  get log(): string {
    return readFileSync(path.join(this.#dir, 'log'), 'utf8');
  }

  get acknowledged(): number {
    return this.#acknowledged.size;
  }

  get program(): Program {
    return this.#program!;
  }

  /** Starts the server; with `ready` waits until it takes mail. */
  async up(ready = true): Promise<void> {
    this.#run++;
    this.#program = new Program(['mta', '--config', this.#config], this.layer?.env ?? {});
    if (ready) await this.#program.says('listens on', HUNG_MS);
  }

  async kill(): Promise<void> {
    this.#program!.process.kill('SIGKILL');
    await this.#program!.finished;
  }

  /** Kills the server at a moment of its own choice, `times` over, while mail flows; ends with it killed. */
  async killAtRandom(times: number): Promise<{ pages: number; dropped: number; torn: number }> {
    const lost = { pages: 0, dropped: 0, torn: 0 };
    // Stopped in order once, it keeps its compiled code, and every start after that is quicker.
    await this.up();
    await this.#program!.stop();
    this.layer?.cutPower(this.#random);
    for (let n = 0; n < times; n++) {
      // Most die at work, some while they start.
      const early = this.#random() < 0.2;
      await this.up(!early);
      if (early) await sleep(this.#random() * 700);
      else {
        // By what it has done, not by the clock: on a slow machine it would never be at work.
        const enough = this.acknowledged + 1 + this.#random() * 30;
        await until(() => this.acknowledged >= enough, HUNG_MS);
        await sleep(this.#random() * 30);
      }
      await this.kill();
      const { pages, dropped, torn } = this.layer?.cutPower(this.#random) ?? lost;
      if (!this.layer) continue;
      lost.pages += pages;
      lost.dropped += dropped;
      lost.torn += torn;
    }
    return lost;
  }

  startSending(): void {
    this.#sending = true;
    this.#clients = Array.from({ length: CLIENTS }, () => this.#send());
  }

  async stopSending(): Promise<void> {
    this.#sending = false;
    await Promise.all(this.#clients);
  }

  /** One client: connects, sends until the connection breaks, connects again. */
  async #send(): Promise<void> {
    while (this.#sending) {
      const connected = await connectSmtp({ host: '127.0.0.1', port: this.#port, heloName: 'client.test' });
      if (!connected.ok) {
        await sleep(20);
        continue;
      }
      const { client } = connected;
      while (this.#sending && client.usable) {
        const n = this.#next++;
        const kind = n % 17 === 3 ? 'gone' : n % 11 === 5 ? 'slow' : 'user';
        const recipients = Array.from(
          { length: kind === 'gone' ? 1 : 1 + (n % 3) },
          (_, i) => `${kind}${n}-${i}@d${n % 5}.test`,
        );
        for (const recipient of recipients) this.#submitted.add(recipient);
        const result = await client.send({
          // Who wrote to nobody gets a report; the null sender of the others never does.
          from: kind === 'gone' ? senderOf(recipients[0]!) : '',
          recipients: recipients.map((address) => ({ address })),
          content: Buffer.from(`Subject: ${n}\r\n\r\n${'x'.repeat(Math.floor(this.#random() * 6000))}\r\n`),
        });
        const last = result.data ?? result.mail;
        if (result.data?.code === 250) for (const recipient of recipients) this.#acknowledged.add(recipient);
        else if (last) this.refusals.set(last.code, (this.refusals.get(last.code) ?? 0) + 1);
        await sleep(last?.code === 250 ? 3 : 30);
      }
      await client.quit().catch(() => {});
    }
  }

  /** Waits until everything is delivered and written down, stops the server in order, and compares. */
  async settled(): Promise<Verdict> {
    let state = 'no answer';
    let same = 0;
    for (;;) {
      const answer = await fetch(`http://127.0.0.1:${this.#management}/counters`).catch(() => null);
      const before = state;
      if (answer?.ok) {
        state = await answer.text();
        const { data } = JSON.parse(state) as { data: { queued: number; backlog: { outcomes: number } } };
        if (data.queued === 0 && data.backlog.outcomes === 0) break;
        same = counts(state) === counts(before) ? same + 1 : 0;
      }
      const { exitCode, signalCode } = this.program.process;
      if (same > MOST_SAME_ANSWERS || exitCode !== null || signalCode !== null) {
        throw new Error(
          `${state}\n${exitCode} ${signalCode}\n${this.log.slice(-2000)}\n${this.program.stderr.slice(-1000)}`,
        );
      }
      await sleep(25);
    }
    const { code, stderr } = await this.#program!.stop();
    assert.equal(code, 0, stderr);
    const spool = openSpool(path.join(this.#disk, 'spool'));
    assert.equal(spool.messageCount, 0, 'nothing may be left in the spool');
    await spool.close();
    assert.doesNotMatch(this.log, /corrupt record/);
    return await this.#compare();
  }

  async #compare(): Promise<Verdict> {
    const runs = new Map<string, number[]>();
    for (const { recipient, run } of this.#taken) runs.set(recipient, [...(runs.get(recipient) ?? []), run]);
    const rows = await this.#accounting();
    const told = (type: string, recipient: string) => rows.get(`${type} ${recipient}`) ?? 0;
    for (const recipient of this.#acknowledged) {
      if (recipient.startsWith('gone')) continue;
      assert.ok(runs.has(recipient), `${recipient} was acknowledged and never delivered`);
    }
    let repeated = 0;
    for (const [recipient, seen] of runs) {
      const report = this.#reportedBy(recipient);
      assert.ok(report || this.#submitted.has(recipient), `${recipient} was delivered and never submitted`);
      repeated += seen.length - 1;
      assert.equal(
        new Set(seen).size,
        seen.length,
        `${recipient} was delivered twice without a kill between`,
      );
      assert.equal(told('d', recipient), 1, `${recipient}: deliveries in accounting`);
    }
    const mostOfConnection = this.#repeatedWereInFlight(runs);
    let unacknowledged = 0;
    let reports = 0;
    for (const recipient of this.#submitted) {
      if (told('b', recipient) > 0) {
        reports++;
        const sender = senderOf(recipient);
        assert.ok(runs.has(sender), `${recipient} bounced, and its sender has no report`);
        assert.equal(told('d', sender), 1, `${recipient} bounced: reports to its sender`);
      }
      const received = told('r', recipient);
      const ended = told('d', recipient) + told('b', recipient);
      assert.equal(
        told(recipient.startsWith('gone') ? 'd' : 'b', recipient),
        0,
        `${recipient}: the wrong end`,
      );
      if (this.#acknowledged.has(recipient))
        assert.equal(received, 1, `${recipient}: receptions in accounting`);
      else if (received > 0) unacknowledged++;
      assert.ok(received <= 1 && ended === received, `${recipient}: received ${received}, ended ${ended}`);
      assert.ok(
        told('t', recipient) <= 1,
        `${recipient}: was deferred once, told ${told('t', recipient)} times`,
      );
    }
    for (const row of rows.keys()) {
      const recipient = row.split(' ')[1]!;
      assert.ok(this.#reportedBy(recipient) || this.#submitted.has(recipient), `${row} was never submitted`);
    }
    const senders = [...runs.keys()].filter((recipient) => this.#reportedBy(recipient)).length;
    assert.equal(senders, reports, 'each message that failed has one report, and no other has');
    return {
      submitted: this.#submitted.size,
      acknowledged: this.#acknowledged.size,
      delivered: runs.size,
      repeated,
      mostOfConnection,
      unacknowledged,
      reports,
    };
  }

  /** Whether this is the sender of a message that was submitted to nobody. */
  #reportedBy(sender: string): boolean {
    return sender.startsWith('back-') && this.#submitted.has(sender.slice('back-'.length));
  }

  /**
   * What was delivered again had been in flight when the server was killed. Outcomes reach the disk in the order of
   * the transactions, so of each connection that a kill broke only the last transactions may be repeated: one that is
   * repeated although a later one of its connection is not had been written down. Answers how many those were at most.
   */
  #repeatedWereInFlight(runs: ReadonlyMap<string, readonly number[]>): number {
    const connections = new Map<object, Map<object, boolean>>();
    for (const { recipient, run, connection, transaction } of this.#taken) {
      const again = runs.get(recipient)!.some((other) => other > run);
      const transactions = connections.get(connection) ?? new Map<object, boolean>();
      connections.set(connection, transactions);
      transactions.set(transaction, again);
      assert.ok(!again || run < this.#run, `${recipient} was repeated without a kill`);
    }
    let most = 0;
    for (const transactions of connections.values()) {
      const repeated = [...transactions.values()];
      const first = repeated.indexOf(true);
      if (first < 0) continue;
      assert.ok(
        repeated.slice(first).every(Boolean),
        `a transaction was repeated that was not in flight at the kill: ${repeated.join()}`,
      );
      most = Math.max(most, repeated.length - first);
    }
    return most;
  }

  /** Rows by type and recipient, over all accounting files. */
  async #accounting(): Promise<Map<string, number>> {
    const rows = new Map<string, number>();
    for (const name of readdirSync(path.join(this.#disk, 'acct')).filter((n) => !n.startsWith('.'))) {
      for await (const row of csvRows(path.join(this.#disk, 'acct', name))) {
        const key = `${row.get('type')} ${row.get('rcpt')}`;
        rows.set(key, (rows.get(key) ?? 0) + 1);
      }
    }
    return rows;
  }
}

/** An answer of the management interface without what changes by itself. */
function counts(state: string): string {
  try {
    const { data } = JSON.parse(state) as { data: { queued: number; backlog: { outcomes: number } } };
    return `${data.queued} ${data.backlog.outcomes}`;
  } catch {
    return '';
  }
}

function senderOf(recipient: string): string {
  return `back-${recipient}`;
}
