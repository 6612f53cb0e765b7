// What the Python event exporter does: all events of a window into a CSV file, page by page, with its rules of retry.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { line, startTestService, TEST_KEY, type TestService } from '../../src/signals/test-service.ts';
import { type Clock, systemClock } from '../../src/system/clock.ts';

const EVENTS = 25_000;
const now = Math.floor(Date.now() / 1000);
let service: TestService;
let aheadMs = 0;
const clock: Clock = { now: () => Date.now() + aheadMs, after: systemClock.after };

before(async () => {
  service = await startTestService({ clock, rate: { perSecond: 0.01, burst: 5 } });
  for (let done = 0; done < EVENTS; done += 5000) {
    const lines = Array.from({ length: 5000 }, (_, i) =>
      line(i % 2 ? 'reception' : 'delivery', {
        // Several at the same second, so that pages end between events of equal time.
        timestamp: String(now - 7200 + Math.floor((done + i) / 40)),
        event_id: String(9_000_000_000_000_000_000n + BigInt(done + i)),
        message_id: `m-${done + i}`,
        subject: 'commas, "quotes" and\nlines',
      }),
    );
    assert.equal((await service.postBytes(gzipSync(`${lines.join('\n')}\n`))).status, 200);
  }
  await service.signals.idle();
});
after(() => service.stop());

interface Page {
  readonly results: Record<string, unknown>[];
  readonly total_count: number;
  readonly links: { readonly next?: string };
}

let refusals = 0;
const headers = { Authorization: TEST_KEY, Accept: 'application/json' };

/** As the exporter asks: the same again after a pause, for exactly one text; anything else ends it. */
async function ask(url: string): Promise<Page> {
  for (;;) {
    const response = await fetch(service.signals.url + url, { headers });
    const body = (await response.json()) as Page & { errors?: { message: string }[] };
    if (response.status === 200) return body;
    assert.equal(response.status, 429);
    assert.equal(body.errors![0]!.message, 'Too many requests');
    refusals++;
    // The pause, without the wait.
    aheadMs += Number(response.headers.get('retry-after')) * 1000;
  }
}

test('25,000 events come in pages of 10,000 and of 3,000, each once, newest first, through refusals', async () => {
  for (const perPage of [10_000, 3000]) {
    const rows: Record<string, unknown>[] = [];
    let pages = 0;
    let url = `/api/v1/events/message?cursor=initial&per_page=${perPage}&events=injection,delivery`;
    for (;;) {
      const page = await ask(url);
      pages++;
      assert.equal(page.total_count, EVENTS);
      rows.push(...page.results);
      if (!('next' in page.links)) break;
      assert.match(page.links.next!, /^\/api\/v1\//);
      url = page.links.next!;
    }
    assert.equal(pages, Math.ceil(EVENTS / perPage));
    assert.equal(rows.length, EVENTS);
    assert.equal(new Set(rows.map((row) => row.event_id)).size, EVENTS);
    for (let i = 1; i < rows.length; i++) {
      assert.ok(String(rows[i - 1]!.timestamp) >= String(rows[i]!.timestamp), `row ${i}`);
    }
    // Columns of the CSV file: flat values, ids as texts.
    for (const row of rows.slice(0, 100)) {
      assert.match(String(row.timestamp), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      assert.equal(typeof row.event_id, 'string');
      assert.equal(row.subject, 'commas, "quotes" and\nlines');
      for (const name of ['type', 'rcpt_to', 'message_id', 'customer_id']) assert.ok(name in row, name);
      assert.ok(!('msys' in row));
    }
  }
  assert.ok(refusals > 0, 'the key was held to its rate on the way');
});

test('the properties and types that it shows come without a key', async () => {
  const url = `${service.signals.url}/api/v1/events/message/documentation`;
  const { results } = (await (await fetch(url, { headers: { Accept: 'application/json' } })).json()) as {
    results: Record<string, { sampleValue: string }>[];
  };
  assert.equal(results.length, 18);
  const properties = new Set(results.flatMap((event) => Object.keys(event)));
  for (const name of ['event_id', 'rcpt_to', 'campaign_id', 'geo_ip', 'raw_reason', 'sending_ip']) {
    assert.ok(properties.has(name), name);
  }
  assert.ok(results.every((event) => typeof event.type!.sampleValue === 'string'));
});
