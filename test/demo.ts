/** The demonstration's MTA (and, when asked for, its sink) as processes, for scenarios that look at one of them. */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { writeFileDurably } from '../src/system/durable-file.ts';
import {
  configurationPlaces,
  type DemoSecrets,
  prepareSecrets,
  writeConfiguration,
} from '../src/up/demo-files.ts';
import { type Ports, portsFrom } from '../src/up/ports.ts';
import { freePorts, Program, root, temporaryFolder, until } from './program.ts';

export interface Demo {
  readonly dataDir: string;
  readonly ports: Ports;
  readonly secrets: DemoSecrets;
  readonly mta: Program;
  stop(): Promise<void>;
}

export async function startDemo(options: { sink?: boolean } = {}): Promise<Demo> {
  const dataDir = temporaryFolder();
  const ports = portsFrom(await freePorts(8));
  const secrets = await prepareSecrets(dataDir);
  const programs: Program[] = [];
  if (options.sink) {
    const records = path.join(dataDir, 'records.txt');
    await writeFileDurably(
      records,
      `posthorn._domainkey.brand.test TXT v=DKIM1; k=rsa; p=${secrets.dkimPublicKey}\n`,
    );
    const sink = new Program([
      'sink',
      ...['--smtp', `127.0.0.1:${ports.sinkSmtp}`, '--dns', `127.0.0.1:${ports.sinkDns}`],
      ...['--control', `127.0.0.1:${ports.sinkControl}`, '--data', path.join(dataDir, 'sink')],
      ...['--records', records, '--time-scale', '0', '--store', '50'],
    ]);
    programs.push(sink);
    await until(() => answers(`http://127.0.0.1:${ports.sinkControl}/health`, sink));
  }
  const file = path.join(dataDir, 'pmta.conf');
  const key = '00112233445566778899aabbccddeeff00112233';
  await writeConfiguration(
    path.join(root, 'examples/demo/pmta.conf'),
    file,
    configurationPlaces(dataDir, ports, secrets, key),
  );
  await mkdir(path.join(dataDir, 'mta/accounting'), { recursive: true });
  const mta = new Program(['mta', '--config', file]);
  programs.push(mta);
  await mta.says('listens on');
  return {
    dataDir,
    ports,
    secrets,
    mta,
    async stop() {
      for (const program of programs.reverse()) await program.stop();
    },
  };
}

async function answers(url: string, program: Program): Promise<boolean> {
  if (program.process.exitCode !== null) throw new Error(`it ended: ${program.stderr}`);
  try {
    return (await fetch(url)).ok;
  } catch {
    return false;
  }
}
