import { readFile, stat } from 'node:fs/promises';
import { createSecureContext, type SecureContextOptions, type Server } from 'node:tls';
import type { Clock } from '../../system/clock.ts';
import type { Log } from '../../system/log.ts';
import { UserError } from '../../system/user-error.ts';

export interface CertificateFiles {
  /** PEM: the certificate, then those of its issuers. */
  readonly certFile: string;
  readonly keyFile: string;
}

/** A certificate read from files, which is read again when they change. */
export interface Certificate {
  readonly options: SecureContextOptions;
  /** Reads the files again, now, for new connections. Files that do not fit change nothing and are logged. */
  reload(): Promise<void>;
  /** From now on `server` gets what is read. */
  serve(server: Server): void;
  close(): void;
}

/** How often the files are looked at. */
const LOOK_MS = 5000;

/** Opens the files. Throws `UserError` when they cannot be used. */
export async function openCertificate(files: CertificateFiles, clock: Clock, log: Log): Promise<Certificate> {
  let seen = await stampOf(files);
  const first = await read(files);
  let server: Server | null = null;
  let cancel = () => {};
  let closed = false;
  const reload = async () => {
    seen = await stampOf(files);
    try {
      const options = await read(files);
      server?.setSecureContext(options);
      log.info('the certificate is read again', { file: files.certFile });
    } catch (error) {
      log.warn('the certificate cannot be used; the one before stays in force', {
        because: (error as Error).message,
      });
    }
  };
  const look = () => {
    cancel = clock.after(LOOK_MS, async () => {
      if ((await stampOf(files)) !== seen) await reload();
      if (!closed) look();
    });
  };
  look();
  return {
    options: first,
    reload,
    serve: (given) => {
      server = given;
    },
    close: () => {
      closed = true;
      cancel();
    },
  };
}

async function read({ certFile, keyFile }: CertificateFiles): Promise<SecureContextOptions> {
  const text = async (file: string, option: string) => {
    try {
      return await readFile(file, 'utf8');
    } catch (error) {
      throw new UserError(`${file} (${option}) cannot be read: ${(error as Error).message}`, {
        cause: error,
      });
    }
  };
  const cert = await text(certFile, '--tls-cert');
  const key = await text(keyFile, '--tls-key');
  const options: SecureContextOptions = { cert, key, minVersion: 'TLSv1.2' };
  try {
    // Refuses what is no certificate, no key, or the key of another certificate.
    createSecureContext(options);
  } catch (error) {
    throw new UserError(
      `${certFile} and ${keyFile} (--tls-cert, --tls-key) are no certificate in PEM with its key: ${(error as Error).message}`,
      { cause: error },
    );
  }
  return options;
}

/** Changes whenever one of the files does. */
async function stampOf({ certFile, keyFile }: CertificateFiles): Promise<string> {
  const stamps = await Promise.all(
    [certFile, keyFile].map(async (file) => {
      try {
        const { mtimeMs, size, ino } = await stat(file);
        return `${mtimeMs} ${size} ${ino}`;
      } catch {
        return 'missing';
      }
    }),
  );
  return stamps.join(', ');
}
