/** All that a sender of campaigns turns on: what `work` and `threads` have a Posthorn do. */
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { makeSelfSignedCertificate } from '../../src/smtp/self-signed.ts';
import { temporaryFolder } from '../../test/program.ts';

const PASSWORD = 'bench-password';

export interface Campaign {
  /** Whom clients sign in as. */
  readonly login: { readonly user: string; readonly password: string };
  /** Batches of events that were uploaded so far. */
  uploads(): number;
  /** As `startPosthorn` takes it, with lines of one's own at file level. */
  config(settings: string): string;
}

/** Certificate, keys and somebody who takes the events. */
export async function prepareCampaign(): Promise<Campaign> {
  const secrets = temporaryFolder();
  const { key, cert } = await makeSelfSignedCertificate({ names: ['mta.test'], days: 30 });
  writeFileSync(path.join(secrets, 'tls.pem'), cert + key);
  const pem = (made: { privateKey: { export(o: object): unknown } }) =>
    String(made.privateKey.export({ type: 'pkcs8', format: 'pem' }));
  writeFileSync(path.join(secrets, 'rsa.pem'), pem(generateKeyPairSync('rsa', { modulusLength: 2048 })));
  writeFileSync(path.join(secrets, 'ed.pem'), pem(generateKeyPairSync('ed25519')));

  // Takes batches of events and forgets them, as a Signals elsewhere would keep them.
  let uploads = 0;
  const signals = createServer((request, response) => {
    request.resume().on('end', () => {
      uploads++;
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ results: { id: crypto.randomUUID() } }));
    });
  });
  await new Promise<void>((resolve) => signals.listen(0, '127.0.0.1', resolve));
  const signalsPort = (signals.address() as AddressInfo).port;
  return {
    login: { user: 'sender', password: PASSWORD },
    uploads: () => uploads,
    config: (settings) => `
host-name mta.test
log-file @DIR@/log
state-dir @DIR@/state
http-mgmt-port 0
${settings}
smtp-listener 127.0.0.1:@PORT@
smtp-server-tls-certificate ${secrets}/tls.pem
<spool @DIR@/spool>
</spool>
<source 127.0.0.1>
  smtp-service yes
  allow-auth yes
  allow-starttls yes
  require-starttls-before-auth yes
</source>
<source {auth}>
  always-allow-relaying yes
  default-virtual-mta campaign
</source>
<smtp-user sender>
  password ${PASSWORD}
  source {auth}
</smtp-user>
domain-key rsa, brand.test, ${secrets}/rsa.pem
domain-key ed, esp.test, ${secrets}/ed.pem
<virtual-mta campaign>
  <domain *>
    dkim-sign yes
    dkim-identity @brand.test
    dkim-identity-fallback @brand.test
    second-dkim-sign yes
    second-dkim-identity @esp.test
  </domain>
</virtual-mta>
<domain *>
  smtp-hosts [127.0.0.1]:@SINK@
  use-starttls no
  max-smtp-out @SESSIONS@
</domain>
<acct-file @DIR@/acct.csv>
  records d,b,t,r
</acct-file>
<signals>
  api-key 0123456789abcdef0123456789abcdef01234567
  upload-url http://127.0.0.1:${signalsPort}/api/v1/ingest/events
  engagement-tracking sparkpost
  customer-id 1
  tracking-domain click.brand.test
  min-free-space 20M
</signals>
enable-signals yes
`,
  };
}
