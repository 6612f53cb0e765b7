/** A running server that reports come back to, with a host that takes its ordinary mail. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { connectSmtp, createSmtpServer, type SmtpClient, smtpServerOptions } from '../src/smtp/index.ts';
import { systemClock } from '../src/system/clock.ts';
import { silentLog } from '../src/system/log.ts';
import { freePorts, Program, temporaryFolder } from './program.ts';

export interface ReportServer {
  /** Has `acct` and `state`. */
  readonly dir: string;
  /** The program as it was started last. */
  readonly program: Program;
  start(): Promise<void>;
  session(): Promise<SmtpClient>;
  /** Sends one message and sees to it that it is taken. */
  send(client: SmtpClient, from: string, to: string, content: Buffer): Promise<void>;
}

/**
 * `lines`: more of the configuration, in which `DIR` is the server's folder; `onMail` hears of what the host of
 * ordinary mail takes. Mail to `bounces.test` is accepted from the machine itself.
 */
export async function reportServer(
  t: TestContext,
  lines: string,
  onMail: (content: Buffer) => void,
  env: Record<string, string> = {},
): Promise<ReportServer> {
  const dir = temporaryFolder();
  for (const name of ['spool', 'acct', 'state']) mkdirSync(path.join(dir, name));
  const host = createSmtpServer(
    () => ({
      options: smtpServerOptions({ hostName: 'host.test' }),
      handlers: {
        onMessage: async ({ content }) => {
          onMail(content);
          return null;
        },
      },
    }),
    { clock: systemClock, log: silentLog },
  );
  const hostPort = await host.listen('127.0.0.1', 0, 'the host of the test');
  const port = await freePorts(2);
  const file = path.join(dir, 'config');
  writeFileSync(
    file,
    `host-name mx.test
    log-file ${dir}/log
    state-dir ${dir}/state
    http-mgmt-port ${port + 1}
    smtp-listener 127.0.0.1:${port}
    relay-domain bounces.test
    <spool ${dir}/spool>
    </spool>
    <domain *>
      smtp-hosts [127.0.0.1]:${hostPort}
      use-starttls no
    </domain>
    ${lines.replaceAll('DIR', dir)}`,
  );
  const start = async () => {
    const program = new Program(['mta', '--config', file], env);
    t.after(() => program.process.kill('SIGKILL'));
    await program.says('listens on');
    return program;
  };
  let program = await start();
  t.after(() => host.close(0));
  return {
    dir,
    get program() {
      return program;
    },
    async start() {
      program = await start();
    },
    async session() {
      const connected = await connectSmtp({ host: '127.0.0.1', port, heloName: 'client.test' });
      assert.ok(connected.ok);
      return connected.client;
    },
    async send(client, from, to, content) {
      const result = await client.send({ from, recipients: [{ address: to }], content });
      assert.equal(result.data?.code, 250);
    },
  };
}
