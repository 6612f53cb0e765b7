/**
 * The peer of bench/ingest.ts: the engine alone loads the same lines into the same tables with the same views, all
 * work in its own SQL. A process of its own: `ingest-bulk.ts FOLDER WARM-UP FILE…`; prints one line of JSON.
 */

import { eventTypes } from '../../src/events/catalogue.ts';
import { bounceClasses } from '../../src/signals/ingest/bounce-classes.ts';
import { openEmbedded } from '../../src/signals/store/engine.ts';
import { defaultRetention } from '../../src/signals/store/retention.ts';
import { migrate } from '../../src/signals/store/schema.ts';

const [folder, warmUp, ...files] = process.argv.slice(2) as [string, string, ...string[]];

const text = (value: string) => `'${value.replaceAll("'", "''")}'`;
const list = (values: readonly (string | number)[]) =>
  `[${values.map((v) => (typeof v === 'number' ? v : text(v))).join(', ')}]`;
const ingested = eventTypes.filter((type) => type.ingestType !== null);

const fieldNames =
  `type event_id timestamp message_id custom_message_id rcpt_to rcpt_hash rcpt_domain routing_domain msg_from
  friendly_from subject campaign_id template_id transmission_id binding binding_group sending_ip ip_pool msg_size
  subaccount_id num_retries queue_time bounce_class reason raw_reason ab_test_id ab_test_version target_link_name
  target_link_url user_agent`.split(/\s+/);
const event = `Tuple(${fieldNames.map((name) => `${name} String`).join(', ')})`;
const classes = ['message_event', 'track_event', 'gen_event', 'unsubscribe_event', 'relay_event'];
const shape = `Tuple(msys Tuple(${classes.map((cls) => `${cls} ${event}`).join(', ')}))`;

/** One parse of each line, then columns by the same rules as ingest's own. */
function loadSql(file: string): string {
  const pick = classes
    .slice(0, -1)
    .reduceRight(
      (rest, cls) => `if(p.msys.${cls}.type != '', p.msys.${cls}, ${rest})`,
      `p.msys.${classes.at(-1)}`,
    );
  const columns: Record<string, string> = {
    ts: `fromUnixTimestamp64Milli(toInt64(toFloat64OrZero(e.timestamp) * 1000), 'UTC')`,
    event_id: 'e.event_id',
    type: `transform(e.type, ${list(ingested.map((t) => t.ingestType!))}, ${list(ingested.map((t) => t.publicType))}, e.type) AS kind`,
    batch_id: text(file.slice(-36)),
    sign: '1',
    version: '1',
    orphan: '0',
    subaccount_id: 'toUInt32OrZero(e.subaccount_id)',
    campaign_id: 'e.campaign_id',
    template_id: 'e.template_id',
    recipient_domain: `if(recipient != '', substring(recipient, position(recipient, '@') + 1), e.rcpt_domain) AS host`,
    sending_domain: `substring(if(e.friendly_from != '', e.friendly_from, e.msg_from) AS sender, position(sender, '@') + 1)`,
    sending_ip: `if(e.sending_ip != '', e.sending_ip, e.binding)`,
    ip_pool: `if(e.ip_pool != '', e.ip_pool, e.binding_group)`,
    mailbox_provider: `transform(host, ['gmail.com', 'outlook.com', 'hotmail.com', 'yahoo.com', 'icloud.com', 'aol.com'], ['Gmail', 'Hotmail / Outlook', 'Hotmail / Outlook', 'Yahoo', 'Apple', 'Yahoo'], '') AS provider`,
    mailbox_provider_region: `if(provider != '', 'Global', '')`,
    vmta: 'e.binding',
    message_id: `if(e.custom_message_id != '', e.custom_message_id, e.message_id)`,
    transmission_id: 'e.transmission_id',
    rcpt_to: 'lower(e.rcpt_to) AS recipient',
    raw_rcpt_to: `''`,
    rcpt_hash: 'e.rcpt_hash',
    routing_domain: `if(e.routing_domain != '', lower(e.routing_domain), host)`,
    friendly_from: 'e.friendly_from',
    subject: 'e.subject',
    ab_test_id: 'e.ab_test_id',
    ab_test_version: 'e.ab_test_version',
    bounce_class: 'toUInt16OrZero(e.bounce_class) AS code',
    bounce_category: `if(code = 0, '', transform(code, ${list(bounceClasses.map((c) => c.code))}, ${list(bounceClasses.map((c) => c.category))}, 'Undetermined'))`,
    reason: 'e.reason',
    raw_reason: 'e.raw_reason',
    link_name: `if(e.target_link_name != '', e.target_link_name, e.target_link_url)`,
    num_retries: 'toUInt32OrZero(e.num_retries)',
    queue_time: 'toUInt64OrZero(e.queue_time)',
    msg_size: 'toUInt64OrZero(e.msg_size)',
    prefetched: `e.user_agent = 'Mozilla/5.0'`,
    data: 'line',
  };
  return `INSERT INTO events (${Object.keys(columns).join(', ')})
    SELECT ${Object.entries(columns)
      .map(([name, sql]) => (sql.includes(' AS ') ? sql : `${sql} AS c_${name}`))
      .join(', ')}
    FROM (SELECT line, JSONExtract(line, '${shape}') AS p, ${pick} AS e
          FROM file(${text(file)}, LineAsString, 'line String'))`;
}

const engine = await openEmbedded(folder);
await migrate(engine, defaultRetention);
await engine.write(loadSql(warmUp));
const begun = performance.now();
const cpu = process.cpuUsage();
for (const file of files) await engine.write(loadSql(file));
const seconds = (performance.now() - begun) / 1000;
const { user, system } = process.cpuUsage(cpu);
const [row] = await engine.readForWrite<{ n: number; types: number; hosts: number; rolled: number }>(
  `SELECT count() AS n, uniqExact(type) AS types, uniqExact(recipient_domain) AS hosts,
     (SELECT sum(row_count) FROM metrics_hour) AS rolled FROM events`,
);
await engine.close();
process.stdout.write(
  `${JSON.stringify({ seconds, cpu: (user + system) / 1e6, rss: process.resourceUsage().maxRSS * 1024, ...row })}\n`,
);
