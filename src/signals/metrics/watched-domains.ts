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
