import { readFile } from 'node:fs/promises';
import { reason } from '../../system/durable-file.ts';
import { UserError } from '../../system/user-error.ts';

/** The recipient domains that most of the world's personal mail goes to; rows of the `watched-domain` report. */
export const watchedDomains: readonly string[] =
  `gmail.com googlemail.com yahoo.com hotmail.com outlook.com live.com msn.com aol.com icloud.com me.com mac.com
  comcast.net att.net sbcglobal.net bellsouth.net verizon.net cox.net charter.net earthlink.net optonline.net
  ymail.com rocketmail.com proton.me protonmail.com yahoo.co.uk hotmail.co.uk btinternet.com sky.com virginmedia.com
  ntlworld.com talktalk.net yahoo.fr hotmail.fr orange.fr wanadoo.fr free.fr sfr.fr laposte.net neuf.fr gmx.de gmx.net
  web.de t-online.de freenet.de yahoo.de hotmail.de libero.it virgilio.it yahoo.it hotmail.it tiscali.it alice.it
  yahoo.es hotmail.es telefonica.net ziggo.nl kpnmail.nl planet.nl telenet.be skynet.be bluewin.ch wp.pl o2.pl onet.pl
  interia.pl seznam.cz mail.ru yandex.ru rambler.ru ukr.net yahoo.com.br hotmail.com.br uol.com.br bol.com.br
  terra.com.br yahoo.com.mx yahoo.com.ar yahoo.ca shaw.ca rogers.com bell.net sympatico.ca yahoo.co.jp docomo.ne.jp
  ezweb.ne.jp softbank.ne.jp naver.com daum.net hanmail.net qq.com 163.com 126.com sina.com yahoo.co.in yahoo.in
  rediffmail.com bigpond.com optusnet.com.au yahoo.com.au xtra.co.nz yahoo.com.tw yahoo.co.id`.split(/\s+/);

const MOST = 10_000;

/** A list of one's own: a domain a line, `#` begins a comment. Throws `UserError` naming the line that is wrong. */
export async function readWatchedDomains(file: string): Promise<string[]> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw new UserError(`${file} (watched domains) cannot be read: ${reason(error)}`, { cause: error });
  }
  const domains: string[] = [];
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    const domain = line.replace(/#.*/, '').trim().toLowerCase();
    if (domain === '') continue;
    if (domain.length > 253 || !/^[^\s@,]+$/u.test(domain)) {
      throw new UserError(
        `${file}:${i + 1} (watched domains) is no domain: ${JSON.stringify(domain.slice(0, 80))}`,
      );
    }
    domains.push(domain);
  }
  if (domains.length > MOST) {
    throw new UserError(`${file} (watched domains) has ${domains.length} domains; at most ${MOST} are taken`);
  }
  return domains;
}
