/**
 * Who runs the mailboxes of a recipient's domain. Names as SparkPost's reports show them; the list holds the domains
 * that most of the world's personal mailboxes are under. Domains of one's own that are hosted by a provider are told
 * by MX, which ingest does not look up.
 */
interface Provider {
  readonly name: string;
  readonly region: string;
}

const global = 'Global';

const table: readonly (readonly [name: string, region: string, domains: string])[] = [
  ['Gmail', global, 'gmail.com googlemail.com'],
  [
    'Hotmail / Outlook',
    global,
    'hotmail.com outlook.com live.com msn.com passport.com windowslive.com hotmail.co.uk hotmail.fr hotmail.de hotmail.es hotmail.it hotmail.com.br hotmail.co.jp hotmail.nl hotmail.be hotmail.se hotmail.ca live.co.uk live.fr live.de live.it live.nl live.be live.se live.dk live.no live.ca live.com.au live.com.mx live.jp outlook.fr outlook.de outlook.es outlook.it outlook.jp outlook.com.br outlook.com.au outlook.be outlook.dk outlook.ie outlook.in',
  ],
  [
    'Yahoo',
    global,
    'yahoo.com yahoo.co.uk yahoo.fr yahoo.de yahoo.es yahoo.it yahoo.com.br yahoo.com.mx yahoo.com.ar yahoo.ca yahoo.in yahoo.co.in yahoo.com.au yahoo.co.id yahoo.com.ph yahoo.com.vn yahoo.com.tw yahoo.com.hk yahoo.com.sg yahoo.gr yahoo.ie yahoo.ro yahoo.se yahoo.dk yahoo.no yahoo.pl ymail.com rocketmail.com aol.com aim.com aol.co.uk aol.de aol.fr verizon.net netscape.net compuserve.com',
  ],
  ['Yahoo Japan', 'APAC - Japan', 'yahoo.co.jp ybb.ne.jp'],
  ['Apple', global, 'icloud.com me.com mac.com'],
  ['Proton', global, 'proton.me protonmail.com protonmail.ch pm.me'],
  ['Fastmail', global, 'fastmail.com fastmail.fm'],
  ['Zoho', global, 'zoho.com zohomail.com zohomail.eu'],
  ['GMX', 'Europe - Germany', 'gmx.de gmx.net gmx.at gmx.ch gmx.com'],
  ['WEB.DE', 'Europe - Germany', 'web.de'],
  ['T-Online', 'Europe - Germany', 't-online.de magenta.de'],
  ['Freenet', 'Europe - Germany', 'freenet.de'],
  ['Orange', 'Europe - France', 'orange.fr wanadoo.fr voila.fr'],
  ['Free', 'Europe - France', 'free.fr aliceadsl.fr'],
  ['SFR', 'Europe - France', 'sfr.fr neuf.fr cegetel.net club-internet.fr numericable.fr'],
  ['La Poste', 'Europe - France', 'laposte.net'],
  ['Bouygues', 'Europe - France', 'bbox.fr'],
  ['Libero', 'Europe - Italy', 'libero.it iol.it inwind.it blu.it giallo.it'],
  ['Virgilio', 'Europe - Italy', 'virgilio.it tin.it alice.it tim.it'],
  ['Aruba', 'Europe - Italy', 'aruba.it pec.it'],
  ['Tiscali', 'Europe - Italy', 'tiscali.it'],
  ['BT', 'Europe - United Kingdom', 'btinternet.com btopenworld.com talk21.com'],
  ['Sky', 'Europe - United Kingdom', 'sky.com'],
  ['Virgin Media', 'Europe - United Kingdom', 'virginmedia.com ntlworld.com blueyonder.co.uk virgin.net'],
  ['TalkTalk', 'Europe - United Kingdom', 'talktalk.net tiscali.co.uk'],
  ['KPN', 'Europe - Netherlands', 'kpnmail.nl planet.nl hetnet.nl kpnplanet.nl xs4all.nl'],
  ['Ziggo', 'Europe - Netherlands', 'ziggo.nl upcmail.nl home.nl casema.nl chello.nl quicknet.nl'],
  ['Telenet', 'Europe - Belgium', 'telenet.be'],
  ['Proximus', 'Europe - Belgium', 'skynet.be proximus.be'],
  ['Bluewin', 'Europe - Switzerland', 'bluewin.ch'],
  ['Telia', 'Europe - Sweden', 'telia.com'],
  ['Terra', 'Europe - Spain', 'terra.es'],
  ['Telefonica', 'Europe - Spain', 'telefonica.net movistar.es'],
  ['Sapo', 'Europe - Portugal', 'sapo.pt'],
  ['WP', 'Europe - Poland', 'wp.pl o2.pl tlen.pl'],
  ['Onet', 'Europe - Poland', 'onet.pl op.pl onet.eu poczta.onet.pl vp.pl'],
  ['Interia', 'Europe - Poland', 'interia.pl interia.eu poczta.fm'],
  ['Seznam', 'Europe - Czech Republic', 'seznam.cz email.cz post.cz spoluzaci.cz'],
  ['Centrum', 'Europe - Czech Republic', 'centrum.cz atlas.cz volny.cz'],
  ['Mail.ru', 'Europe - Russia', 'mail.ru inbox.ru list.ru bk.ru internet.ru'],
  ['Yandex', 'Europe - Russia', 'yandex.ru yandex.com ya.ru yandex.ua yandex.kz yandex.by'],
  ['Rambler', 'Europe - Russia', 'rambler.ru lenta.ru'],
  ['Ukr.net', 'Europe - Ukraine', 'ukr.net'],
  ['Comcast', 'North America - USA', 'comcast.net xfinity.com'],
  [
    'AT&T',
    'North America - USA',
    'att.net sbcglobal.net bellsouth.net pacbell.net ameritech.net swbell.net prodigy.net',
  ],
  ['Charter', 'North America - USA', 'charter.net spectrum.net rr.com roadrunner.com twc.com'],
  ['Cox', 'North America - USA', 'cox.net'],
  ['CenturyLink', 'North America - USA', 'centurylink.net centurytel.net embarqmail.com q.com'],
  ['EarthLink', 'North America - USA', 'earthlink.net mindspring.com'],
  ['Frontier', 'North America - USA', 'frontier.com frontiernet.net'],
  ['Optimum', 'North America - USA', 'optonline.net optimum.net'],
  ['Juno', 'North America - USA', 'juno.com netzero.net netzero.com'],
  ['Bell', 'North America - Canada', 'bell.net sympatico.ca'],
  ['Rogers', 'North America - Canada', 'rogers.com'],
  ['Shaw', 'North America - Canada', 'shaw.ca'],
  ['Telus', 'North America - Canada', 'telus.net'],
  ['Videotron', 'North America - Canada', 'videotron.ca'],
  ['UOL', 'LATAM - Brazil', 'uol.com.br bol.com.br'],
  ['Terra Brazil', 'LATAM - Brazil', 'terra.com.br'],
  ['Globo', 'LATAM - Brazil', 'globo.com globomail.com'],
  ['iG', 'LATAM - Brazil', 'ig.com.br'],
  ['Prodigy Mexico', 'LATAM - Mexico', 'prodigy.net.mx'],
  ['Tencent QQ', 'APAC - China', 'qq.com foxmail.com vip.qq.com'],
  ['NetEase', 'APAC - China', '163.com 126.com yeah.net 188.com'],
  ['Sina', 'APAC - China', 'sina.com sina.cn'],
  ['Sohu', 'APAC - China', 'sohu.com'],
  ['Naver', 'APAC - South Korea', 'naver.com'],
  ['Daum', 'APAC - South Korea', 'daum.net hanmail.net kakao.com'],
  ['Nate', 'APAC - South Korea', 'nate.com'],
  ['Docomo', 'APAC - Japan', 'docomo.ne.jp'],
  ['au', 'APAC - Japan', 'ezweb.ne.jp au.com'],
  ['SoftBank', 'APAC - Japan', 'softbank.ne.jp i.softbank.jp'],
  ['PChome', 'APAC - Taiwan', 'pchome.com.tw'],
  ['HiNet', 'APAC - Taiwan', 'hinet.net msa.hinet.net'],
  ['Rediff', 'APAC - India', 'rediffmail.com rediff.com'],
  ['Telstra', 'APAC - Australia', 'bigpond.com bigpond.net.au telstra.com'],
  ['Optus', 'APAC - Australia', 'optusnet.com.au'],
  ['Xtra', 'APAC - New Zealand', 'xtra.co.nz'],
];

const byDomain = new Map<string, Provider>();
for (const [name, region, domains] of table) {
  const provider = { name, region };
  for (const domain of domains.split(' ')) byDomain.set(domain, provider);
}

/** Second-level names under which whole countries put their universities. */
const academic = /\.(?:edu|ac)(?:\.[a-z]{2})?$/;

/** Provider and region of a recipient's domain (lower case); '' where they are not known. */
export function mailboxProvider(domain: string): Provider {
  const found = byDomain.get(domain);
  if (found) return found;
  if (academic.test(domain)) return { name: 'Educational Institution', region: global };
  return { name: '', region: '' };
}
