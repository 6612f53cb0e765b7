import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadConfig, startProblems } from './index.ts';
import { diskOf, errors, good, load, MAIN, warnings } from './testing.ts';

const block = (tag: string, lines: string) => `<${tag}>\n${lines}\n</${tag.split(' ')[0]}>\n`;

test('C5.1 a directive outside its scopes is an error that says where it belongs', () => {
  const [error] = errors('max-smtp-out 5');
  assert.equal(error!.message, 'max-smtp-out may not stand at file level');
  assert.match(error!.hint!, /<virtual-mta>/);
  errors('<domain *>\n<source 0/0>\n</source>\n</domain>');
});

test('C5.6 a word that is a tag here and a directive there', () => {
  const config = good(
    `${block('address-list stop', 'domain D.example\naddress postmaster\naddress /^x/')}${block('source 0/0', 'suppression-lists stop')}${block('smtp-user u', 'password p\nsource {team}')}<source {team}>\n</source>`,
  );
  const list = config.addressLists.get('stop')!;
  assert.ok(
    list.matches('a@d.example') && list.matches('Postmaster@z.example') && list.matches('xy@z.example'),
  );
  assert.ok(!list.matches('a@sub.d.example'));
});

test('C5.7 the one-line listener and the block are the same', () => {
  const line = good('smtp-listener 0/0:25 source=s1\n<source s1>\n</source>').listeners[0]!;
  const tag = good('<smtp-listener 0/0:25>\nsource s1\n</smtp-listener>\n<source s1>\n</source>')
    .listeners[0]!;
  for (const l of [line, tag]) assert.deepEqual([l.address, l.port, l.source], ['0.0.0.0', 25, 's1']);
  assert.deepEqual(
    good('').listeners.map((l) => [l.address, l.port, l.origin]),
    [['0.0.0.0', 25, null]],
  );
  const tls = good('smtp-server-tls-certificate /k.pem pass\nsmtp-listener [2001:db8::1]:465').listeners[0]!;
  assert.deepEqual(tls.settings.get('tls-certificate'), { file: '/k.pem', passPhrase: 'pass' });
  assert.equal(tls.address, '2001:db8::1');
});

test('C5.8 directives of another queue type are ignored, not refused', () => {
  good(block('domain *', 'type smtp\ncommand "x"'));
});

test('C6.1 VMTAs and pools share one name space, and names are defined once', () => {
  assert.match(
    errors('<virtual-mta x>\n</virtual-mta>\n<virtual-mta-pool X>\n</virtual-mta-pool>')[0]!.message,
    /belongs to a VMTA/,
  );
  assert.match(
    errors('<virtual-mta x>\n</virtual-mta>\n<virtual-mta X>\n</virtual-mta>')[0]!.message,
    /defined twice/,
  );
  errors('<virtual-mta {default}>\n</virtual-mta>');
  good('<smtp-user a>\npassword x\n</smtp-user>\n<smtp-user A>\npassword y\n</smtp-user>');
});

test('C6.2 names may be used before they are defined, in any case', () => {
  const config = good(
    `use-proxy P1\nsmtp-listener 0/0:25 source=s\n${block('domain *', 'smtp-pattern-list Sbcglobal-errors')}${block('virtual-mta-pool p', 'virtual-mta V')}${block('virtual-mta v', '')}${block('proxy p1', 'server 192.0.2.1:3000\nclient 192.0.2.2 c.example')}${block('smtp-pattern-list sbcglobal-errors', 'reply /x/ mode=backoff')}${block('source s', '')}`,
  );
  assert.deepEqual(config.proxies.get('p1')!.server, { host: '192.0.2.1', port: 3000 });
  assert.deepEqual(config.proxies.get('p1')!.client, { ip: '192.0.2.2', port: 0, host: 'c.example' });
});

test('C6.3 a pattern list after its source loads with a warning', () => {
  const list = block('pattern-list l', '* recipient-priority=1');
  const source = block('source 0/0', 'pattern-list l');
  assert.match(warnings(source + list)[0]!, /defined further down/);
  assert.deepEqual(warnings(list + source), []);
});

test('C6.4 C6.5 undefined proxies and lists are errors', () => {
  for (const text of [
    'use-proxy p9',
    block('domain *', 'smtp-pattern-list gone'),
    block('source 0/0', 'pattern-list gone'),
    block('source 0/0', 'suppression-lists gone'),
    block('source 0/0', 'rewrite-list gone'),
    block('pattern-list l', '* call-to:gone'),
  ]) {
    assert.match(errors(text)[0]!.message, /not defined/, text);
  }
});

test('C6.6 an undefined VMTA is an error in a pool and a warning elsewhere', () => {
  assert.match(errors(block('virtual-mta-pool p', 'virtual-mta gone'))[0]!.message, /gone is not defined/);
  for (const text of [
    block('source 0/0', 'default-virtual-mta gone'),
    block('domain *', 'reroute-to-virtual-mta gone'),
    block('pattern-list l', 'mail-from /x/ virtual-mta=gone'),
    block('pattern-list l', `mail-from /x/ <pattern-list>\n* virtual-mta=gone\n</pattern-list>`),
  ]) {
    assert.match(warnings(text).join(), /gone is not defined/, text);
  }
  assert.deepEqual(warnings(block('source 0/0', 'default-virtual-mta by-smtp-source-ip')), []);
});

test('C6.7 C6.8 a user without source uses {auth}; a proxy needs both ends', () => {
  assert.equal(good(block('smtp-user u', 'password x')).users.get('u')!.source, '{auth}');
  assert.match(errors(block('proxy p', 'server h.example:1'))[0]!.message, /client is missing/);
});

test('C14.10 C14.11 keys of privacy policies', () => {
  const policy = (value: string) => block('acct-file /a.csv', `privacy-policy ${value}`);
  assert.match(warnings(policy('hmac-sha256 short')).join(), /weak/);
  assert.deepEqual(warnings(policy(`hmac-sha256 ${'k'.repeat(32)}`)), []);
  errors(policy('siphash 12345678901234567'));
  const key = good(policy('siphash abc')).acctFiles[0]!.settings.get('privacy-policy').key!;
  assert.deepEqual([...key], [...Buffer.from('abc'), ...Buffer.alloc(13)]);
  assert.equal(
    good(policy('redact "gone away"')).acctFiles[0]!.settings.get('privacy-policy').text,
    'gone away',
  );
});

test('C14.12 malformed keys are errors that do not show the key', () => {
  const [error] = errors('http-api-key too-short-and-bad!');
  assert.doesNotMatch(JSON.stringify(error), /too-short/);
  errors(block('transmissions-api', 'api-key short'));
  good(`http-api-key ${'aB_1'.repeat(8)}`);
  assert.deepEqual(
    errors(block('signals', 'api-key short')).map((e) => e.message),
    ['api-key: key is malformed'],
  );
});

test('C14.13 contradictory reply rules', () => {
  const rule = (actions: string) => block('smtp-pattern-list p', `reply /x/ ${actions}`);
  for (const actions of [
    'mode=normal,mode=backoff',
    'skip-mx,bounce-queue',
    'reenable-after=1h,disable-source-ip',
    'reenable-after=1h',
    'disable-source-ip,reenable-after=1h,reenable-after=2h',
    'mode=slow',
  ]) {
    errors(rule(actions));
  }
  const [read] = good(rule('mode=backoff,disable-source-ip,reenable-after=2h')).smtpPatternLists.get(
    'p',
  )!.rules;
  assert.deepEqual(
    [read!.actions.mode, read!.actions.disableSourceIp, read!.actions.reenableAfter],
    ['backoff', true, 7_200_000],
  );
});

test('C14.14 impossible rewrite rules', () => {
  for (const rule of ['<> *@x.example', 'a@b.example bücher@x.example', '*@* *@*', 'a b c']) {
    errors(block('rewrite-list r', `mail-from ${rule}`));
  }
  const list = good(
    block(
      'rewrite-list r',
      'mail-from ops@* *@b.example\nmail-from k@a.example <>\nfrom-domain *.a.example c.example',
    ),
  ).rewriteLists.get('r')!;
  assert.deepEqual(list.mailFrom[0]!.from, { kind: 'address', local: 'ops', domain: null });
  assert.deepEqual(list.mailFrom[1]!.to, { kind: 'empty' });
  assert.equal(list.fromDomain[0]!.domain, 'c.example');
});

test('C14.15 C14.16 HTTP delivery and pipes', () => {
  for (const url of ['/relative', 'ftp://h/', 'http://u@h/', 'http://h/?q', 'mailto:a@b']) {
    errors(block('domain *', `http-delivery-url ${url}`));
  }
  assert.match(errors(block('domain *', 'type pipe'))[0]!.message, /needs command/);
  assert.match(errors(block('domain *', 'type http-delivery'))[0]!.message, /needs http-delivery-url/);
  good(block('domain *', 'command x') + block('domain a.example', 'type pipe'));
});

test('C14.17 C14.18 rollup queues end in .rollup, filters take real queues', () => {
  errors(block('mx-rollup-list', 'mx a.example q.roll'));
  const rollups = good(
    block('mx-rollup-list', 'mx *.a.example q.rollup rollup-by-ip\nmx b.example q.rollup'),
  ).mxRollups;
  assert.deepEqual(
    rollups.map((r) => [r.host, r.wildcard, r.queue, r.byIp]),
    [
      ['a.example', true, 'q.rollup', true],
      ['b.example', false, 'q.rollup', false],
    ],
  );
  const filter = (items: string) => block('acct-file /a.csv', `queue-filter ${items}`);
  errors(filter('{bounce}'));
  errors(filter('localhost'));
  const read = good(filter('!a.example/*, *.b.example/Unknown, [192.0.2/24], *')).acctFiles[0]!.settings.get(
    'queue-filter',
  );
  assert.deepEqual(
    read.map((i) => [i.deny, i.domain.key, i.vmta]),
    [
      [true, 'a.example', null],
      [false, '*.b.example', 'Unknown'],
      [false, '[192.0.2/24]', '{default}'],
      [false, '*', '{default}'],
    ],
  );
});

test('C14.19 a missing key or certificate is an error that names the file', () => {
  const options = { ...diskOf({ [MAIN]: 'domain-key s, a.example, keys/gone.key' }), exists: () => false };
  const { config, diagnostics } = loadConfig(MAIN, options);
  assert.equal(config, null);
  assert.match(diagnostics[0]!.message, /\/etc\/pmta\/keys\/gone\.key/);
  assert.ok(loadConfig(MAIN, { ...options, missingFiles: 'warn' }).config);
});

test('C15.1 a reload makes a new configuration and leaves the old one as it was', () => {
  const old = good(`host-id 1\n${block('virtual-mta v', 'max-smtp-out 2')}`);
  const next = good('host-id 2');
  assert.equal(old.global.get('host-id'), 1);
  assert.equal(old.vmtas.get('v')!.settings.get('max-smtp-out'), 2);
  assert.equal(next.vmtas.get('v'), undefined);
  assert.equal(load('host-id x').config, null);
});

test('section 16: old spellings mean what they meant', () => {
  const config = good(
    `spool /a\nspool-min-free-space 20\nsmtp-port 2525\nsmtp-ip 192.0.2.1\nhttp-mgmt-source 10/8\nno-http-mgmt-source 0/0\nsync-msg-create false\ntotal-max-file 100\n<spool /b>\nmin-free-space 1M\n</spool>\n<gm-imprinter>\nanything goes\n</gm-imprinter>\n<domain {gmImprinter}>\nmax-events-recorded 150\nlog-messages yes\n</domain>\n<domain *>\nroute 192.0.2.1:26\nmax-msg-per-hour 120\nbackoff-max-msg-per-hour 60\ndelivery-priority 60\nmax-smtp-out-per-source-ip 0/0 3\nmax-rcpt-per-transaction 50\ndeliver-local-dsn no\ndk-sign yes\n</domain>\n<suppression-list s>\naddress a@b.example\n</suppression-list>\n<acct-file /a.csv>\nmap-header-to-field fbl header_X-HmXmrOriginalRecipient rcpt\n</acct-file>\n<transmission-api-listener 0/0:8443>\ntls-certificate /k.pem\n</transmission-api-listener>\n<source 0/0>\nremove-received-headers true\n</source>`,
  );
  assert.deepEqual(
    config.spools.map((s) => [s.dir, s.settings.get('min-free-space')]),
    [
      ['/a', 20 * 1024 * 1024],
      ['/b', 1024 * 1024],
    ],
  );
  assert.deepEqual(
    config.listeners.map((l) => [l.address, l.port]),
    [['192.0.2.1', 2525]],
  );
  assert.deepEqual(
    config.global.get('http-access').map((a) => [a.cidr.text, a.access]),
    [
      ['10/8', 'monitor'],
      ['0/0', 'none'],
    ],
  );
  const queue = config.queue('x.example', '{default}');
  assert.deepEqual(queue.get('smtp-hosts'), [[{ kind: 'ip', name: '192.0.2.1', port: 26 }]]);
  assert.deepEqual(queue.get('max-msg-rate'), { count: 120, perMs: 3_600_000 });
  assert.deepEqual(queue.get('backoff-max-msg-rate'), { count: 60, perMs: 3_600_000 });
  assert.deepEqual([queue.get('queue-priority'), queue.get('max-rcpt-per-message')], [60, 50]);
  assert.equal(queue.get('source-ip-max-smtp-out')[0]!.limit, 3);
  assert.ok(config.addressLists.get('s')!.matches('A@B.example'));
  assert.equal(config.acctFiles[0]!.settings.get('map-header-to-field')[0]!.record, 'f');
  assert.equal(config.sourceFor({ clientIp: '1.2.3.4' }).get('remove-received-headers'), true);
  assert.equal(good('smtp-port 2525\nsmtp-listener 0/0:26').listeners[0]!.port, 26);
  errors('<domain a.example b.example>\n</domain>');
});

test('processors examine mail to their address lists', () => {
  const config = good(
    `<bounce-processor>\ndeliver-unmatched-email no\nforward-errors-to a@b.example\n<address-list>\ndomain bounces.example\n</address-list>\n<address-list>\naddress /^fbl-/\naddress-file list.txt\n</address-list>\n<email-patterns>\nbody-pattern-file p.pem\n</email-patterns>\n</bounce-processor>`,
    { '/etc/pmta/list.txt': '# ours\nabuse@c.example\r\n' },
  ).bounceProcessor!;
  for (const address of ['x@bounces.example', 'fbl-1@z.example', 'ABUSE@c.example'])
    assert.ok(config.matches(address), address);
  assert.ok(!config.matches('x@z.example'));
  assert.equal(config.settings.get('deliver-unmatched-email'), false);
  assert.equal(config.bodyPatternFiles[0]!.file, '/etc/pmta/p.pem');
});

test('warnings: accepted, but suspicious', () => {
  const of = (text: string, others = {}) => warnings(text, others).join('\n');
  assert.match(of('domain-key g,*,/g.pem\ndomain-key s,a.example,/s.pem'), /a\.example is never used/);
  assert.match(of(block('domain *', 'max-smtp-out 5\nbackoff-max-smtp-out 9')), /9 is above max-smtp-out 5/);
  assert.match(
    of(
      block('domain *', 'max-smtp-out 5\nsmtp-pattern-list p') +
        block('smtp-pattern-list p', 'reply /x/ mode=backoff'),
    ),
    /rises to 20/,
  );
  assert.match(of(block('virtual-mta v', '')), /VMTA v is never used/);
  assert.equal(of(block('virtual-mta v', '') + block('source 0/0', 'process-x-virtual-mta yes')), '');
  assert.match(of(block('source 0/0', 'always-allow-relaying yes')), /open relay/);
  assert.match(of('relay-domain *'), /open relay/);
  assert.equal(of(block('source 0/0', 'always-allow-relaying yes\nrequire-auth yes')), '');
  assert.equal(of(`smtp-listener 127.0.0.1:25\n${block('source 0/0', 'always-allow-relaying yes')}`), '');
  assert.match(of(block('bounce-category-patterns', '// other\n/x/ spam-related')), /never reached/);
  assert.match(of(block('smtp-pattern-list p', 'reply /a^b/ skip-mx')), /no text can match/);
  assert.equal(of(block('smtp-pattern-list p', 'reply /a$/ skip-mx\nreply /\\bx\\B./ skip-mx')), '');
  assert.match(of(block('acct-file /a.csv', 'record-fields d *,timeImprinted')), /timeImprinted/);
});

test('a password in a file that everybody can read', () => {
  const options = diskOf({ [MAIN]: block('smtp-user u', 'password secret') });
  const messages = (mode: number) =>
    loadConfig(MAIN, { ...options, mode: () => mode }).diagnostics.map((d) => d.message);
  assert.match(messages(0o100644).join(), /every user can read/);
  assert.deepEqual(messages(0o100640), []);
});

test('what a start needs beyond a file that loads', () => {
  assert.deepEqual(
    startProblems(good('')).map((p) => p.message.slice(0, 20)),
    ['No logging file spec', 'No spool directory s'],
  );
  assert.deepEqual(startProblems(good('log-file /l\nspool /s')), []);
});

test('a wildcard roll-up without a route is warned of', () => {
  const list = (lines: string) => `<mx-rollup-list>\n${lines}\n</mx-rollup-list>`;
  const about = (text: string) => warnings(text).filter((one) => one.includes('smtp-hosts'));
  assert.deepEqual(about(list('mx *.a.example q.rollup')), [
    'q.rollup has no smtp-hosts, so no mail joins it by *.a.example',
  ]);
  assert.deepEqual(about(list('mx *.a.example q.rollup rollup-by-ip')), []);
  assert.deepEqual(about(list('mx *.a.example q.rollup\nmx b.example q.rollup')), []);
  assert.deepEqual(
    about(`${list('mx *.a.example q.rollup')}\n<domain q.rollup>\nsmtp-hosts b.example\n</domain>`),
    [],
  );
});

test('a pool without members is warned of', () => {
  assert.deepEqual(warnings('<virtual-mta-pool P>\n</virtual-mta-pool>').slice(0, 1), [
    'pool P has no members',
  ]);
});
