/** Lines as senders upload them, for benchmarks: the same for the same seed. */

export interface LineMix {
  readonly count: number;
  readonly seed: number;
  /** Seconds since the epoch of the first event; the others follow within `span` seconds. */
  readonly from: number;
  readonly span: number;
}

/** Numbers in [0, 1) from a seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const providers = [
  ...Array<string>(45).fill('gmail.com'),
  ...Array<string>(15).fill('outlook.com'),
  ...Array<string>(8).fill('hotmail.com'),
  ...Array<string>(10).fill('yahoo.com'),
  ...'icloud.com aol.com gmx.de web.de orange.fr libero.it comcast.net btinternet.com qq.com mail.ru'.split(
    ' ',
  ),
];
const agents = [
  'Mozilla/5.0',
  'Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)',
  'Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148',
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36',
];

/**
 * Whole life cycles of messages, as an MTA with a tracker reports them: each is injected; 93 % are delivered, 4 %
 * bounce, 8 % are delayed first; a quarter of the delivered are opened, a sixth of those clicked, a few complain or
 * unsubscribe. 40 campaigns of 4 brands, 6 pools, 24 addresses, and a tail of small recipient domains.
 */
export function* eventLines({ count, seed, from, span }: LineMix): Generator<string> {
  const random = randomFrom(seed);
  const below = (n: number) => Math.floor(random() * n);
  const id = () => String(below(2 ** 31)) + String(below(10 ** 9)).padStart(9, '0');
  let made = 0;
  while (made < count) {
    const lines: string[] = [];
    let at = from + below(span);
    const brand = below(4);
    const node = below(3);
    // A VMTA has an address of its own.
    const vmta = below(8);
    const host = random() < 0.85 ? providers[below(providers.length)]! : `firm${below(3000)}.example`;
    const recipient = `user.${id().slice(0, 9)}@${host}`;
    const messageId = `0000${below(2 ** 32)
      .toString(16)
      .padStart(8, '0')}${below(2 ** 32)
      .toString(16)
      .padStart(8, '0')}`;
    const message = {
      message_id: messageId,
      rcpt_to: recipient,
      routing_domain: host,
      msg_from: `bounce-${below(1e6)}@bounce.brand${brand}.example`,
      friendly_from: `news@brand${brand}.example`,
      friendly_name: `Brand ${brand}`,
      subject: `Offers of week ${below(10)}: everything that brand ${brand} sells is cheaper now`,
      campaign_id: `brand${brand}-week-${below(10)}`,
      binding: `mta-${node}-vmta-${vmta}`,
      binding_group: `pool-${below(6)}`,
      sending_ip: `192.0.2.${node * 8 + vmta}`,
      msg_size: String(18_000 + below(9000)),
      recv_method: 'esmtp',
      open_tracking: true,
      subaccount_id: brand === 3 ? 12 : 0,
    };
    const add = (cls: string, type: string, fields: object) => {
      const event = { type, event_id: id(), timestamp: String(at), ...fields };
      lines.push(JSON.stringify({ msys: { [cls]: event } }));
    };
    add('message_event', 'reception', message);
    at += below(5);
    const remote = { delv_method: 'esmtp', ip_address: `198.51.100.${below(250)}` };
    let retries = 0;
    if (random() < 0.08) {
      const reason = '452 4.2.2 The mailbox is over its quota, try again later';
      add('message_event', 'tempfail', {
        ...message,
        ...remote,
        routing_domain: undefined,
        num_retries: '0',
        queue_time: String(below(4000)),
        bounce_class: '22',
        error_code: '452',
        reason,
        raw_reason: reason,
      });
      retries = 1;
      at += 600;
    }
    if (random() < 0.04) {
      const reason = '550 5.1.1 The email account that you tried to reach does not exist';
      add('message_event', 'inband', {
        ...message,
        ...remote,
        num_retries: String(retries),
        bounce_class: '10',
        error_code: '550',
        reason,
        raw_reason: `${reason} <${recipient}>`,
      });
    } else if (random() < 0.97) {
      add('message_event', 'delivery', {
        ...message,
        ...remote,
        num_retries: String(retries),
        queue_time: String(below(4000)),
        outbound_tls: '1',
      });
      if (random() < 0.25) {
        at += below(900);
        const track = {
          message_id: messageId,
          rcpt_to: random() < 0.5 ? recipient : '',
          delv_method: 'esmtp',
          ip_address: `203.0.113.${below(250)}`,
          user_agent: agents[below(agents.length)]!,
          geo_ip: { country: 'NL', region: 'NH', city: 'Amsterdam', latitude: 52.37, longitude: 4.9 },
          subaccount_id: message.subaccount_id,
        };
        add('track_event', 'initial_open', { ...track, target_link_url: '' });
        add('track_event', 'open', { ...track, target_link_url: '' });
        if (random() < 0.16) {
          const page = `https://www.brand${brand}.example/offers/${below(200)}?utm_source=news`;
          add('track_event', 'click', { ...track, target_link_url: page, target_link_name: 'offer' });
        }
        if (random() < 0.01) {
          add('unsubscribe_event', 'list', {
            message_id: messageId,
            rcpt_to: recipient,
            recv_method: 'esmtp',
          });
        }
      }
      if (random() < 0.001) {
        add('message_event', 'feedback', {
          message_id: messageId,
          rcpt_to: recipient,
          friendly_from: message.friendly_from,
          fbtype: 'abuse',
          report_by: '',
        });
      }
    }
    for (const line of lines) {
      if (made++ >= count) return;
      yield line;
    }
  }
}
