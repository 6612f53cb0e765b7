import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatDiagnostic, loadConfig } from './index.ts';
import { diskOf, errors, good, load, MAIN, warnings } from './testing.ts';

const domain = (lines: string, name = '*') =>
  good(`<domain ${name}>\n${lines}\n</domain>`).queue('x.example', '{default}');

test('C1.1 international names are one with their A-labels', () => {
  const config = good('<domain müsli.example>\nmax-smtp-out 3\n</domain>');
  assert.equal(config.queue('xn--msli-0ra.example', '{default}').get('max-smtp-out'), 3);
  assert.equal(config.queue('müsli.example', '{default}').get('max-smtp-out'), 3);
  assert.equal(config.queue('MÜSLI.example', '{default}').get('max-smtp-out'), 3);
});

test('C1.2 byte order mark and CRLF are tolerated', () => {
  assert.equal(
    good('\ufeffhost-id 7\r\n<domain *>\r\nmax-smtp-out 2\r\n</domain>\r\n').global.get('host-id'),
    7,
  );
});

test('C1.3 C1.4 the stock table comes with every configuration, and an own config-defaults replaces it', () => {
  const stock = good('host-id 1').bounceCategories;
  assert.equal(stock.at(-1)?.category, 'other');
  assert.equal(
    stock.find((r) => r.pattern.test('5.1.1 (x) smtp;550 listed at spamhaus'))?.category,
    'spam-related',
  );
  const own = good(
    '<bounce-category-patterns>\n/full/ quota-issues\n</bounce-category-patterns>',
  ).bounceCategories;
  assert.equal(own[0]?.category, 'quota-issues');
  assert.equal(own.length, stock.length + 1);
  const beside = good('host-id 2', {
    '/etc/pmta/config-defaults':
      'host-id 1\n<bounce-category-patterns>\n// mine\n</bounce-category-patterns>',
  });
  assert.deepEqual(
    beside.bounceCategories.map((r) => r.category),
    ['mine'],
  );
  assert.equal(beside.global.get('host-id'), 2, 'the main file overrides');
});

test('C1.5 C1.8 blanks, tabs and empty lines mean nothing', () => {
  assert.equal(good('\n \t host-id\t\t 7 \t\n# only a comment\n\n').global.get('host-id'), 7);
});

test('C1.6 a comment begins anywhere, also in quotes', () => {
  assert.equal(domain('auth-password ab#cd').get('auth-password'), 'ab');
  const [error] = errors('<domain *>\nauth-password "ab#cd"\n</domain>');
  assert.match(error!.message, /quote is not closed/);
});

test('C1.7 comments may follow tags', () => {
  const config = good('<domain one.example> # pilot\nmax-smtp-out 4\n</domain> # end');
  assert.equal(config.queue('one.example', '{default}').get('max-smtp-out'), 4);
});

test('C1.9 a backslash at the end is no continuation', () => {
  assert.equal(domain('file-destination d:\\in\\\nmax-smtp-out 1').get('file-destination'), 'd:\\in\\');
});

test('C1.10 a macro list goes on after a comma or after the name alone, with one warning', () => {
  const text = 'domain-macro eu de, fr,\n    it\n<domain x.$eu>\nmax-smtp-out 2\n</domain>';
  assert.equal(good(text).queue('x.it', '{default}').get('max-smtp-out'), 2);
  assert.deepEqual(warnings(text), ['list goes on in the next line']);
  const bare = 'domain-macro eu\n\n  de,\n  it # last\n<domain x.$eu>\nmax-smtp-out 2\n</domain>';
  assert.equal(good(bare).queue('x.it', '{default}').get('max-smtp-out'), 2);
  assert.equal(warnings(bare).length, 1);
  const [other] = errors('smtp-listener\n 0/0:25');
  assert.equal(other!.line, 1);
});

test('C1.11 C14.4 C14.5 messages count physical lines, in the shape of the guide', () => {
  const [error] = errors('# a\n\ndomain-macro x a,\n b\n\nhost-id\n');
  assert.equal(formatDiagnostic(error!), 'Error in line 6 of /etc/pmta/config: host-id: argument missing');
});

test('C2.1 C2.2 keywords and tags in any case, with digits and dots', () => {
  assert.equal(good('Host-ID 3').global.get('host-id'), 3);
  const queue = domain('smtp-tls-allow-TLSv1.2 No');
  assert.equal(queue.get('smtp-tls-allow-tlsv1.2'), false);
  good('<DOMAIN *>\n</Domain>');
});

test('C2.3 C2.4 an argument runs to the bracket or is quoted', () => {
  const config = good(
    '<acct-file |/opt/x/feed --mode=a>\n</acct-file>\n<acct-file "/var/log/my acct/a>b.csv">\n</acct-file>',
  );
  assert.deepEqual(
    config.acctFiles.map((a) => a.target),
    ['|/opt/x/feed --mode=a', '/var/log/my acct/a>b.csv'],
  );
});

test('C2.5 a closing tag may repeat the argument', () => {
  good('<domain-key-list ring1>\n</domain-key-list ring1>');
});

test('C2.6 C2.7 tags close in order and before the file ends', () => {
  const [wrong] = errors('<source 0/0>\n</domain>');
  assert.match(wrong!.message, /<\/domain> does not match <source> of line 1/);
  const [open] = errors('<domain *>\nmax-smtp-out 1');
  assert.match(open!.message, /not closed/);
  const included = errors('include a.conf\n</domain>', { '/etc/pmta/a.conf': '<domain *>' });
  assert.ok(included.some((d) => d.file === '/etc/pmta/a.conf' && /not closed/.test(d.message)));
});

test('C2.8 C4.13 a rule line may open a nested list, to any depth', () => {
  const config = good(`
<virtual-mta warm>
</virtual-mta>
<virtual-mta bulk>
</virtual-mta>
<virtual-mta fast>
</virtual-mta>
<pattern-list route1>
    mail-from /@loyalty\\./ <pattern-list>
        rcpt-to /@big\\.example$/ virtual-mta=warm
        * <pattern-list>
            * virtual-mta=bulk
        </pattern-list>
    </pattern-list>
    header x-lane /fast/ virtual-mta=fast,recipient-priority=80
</pattern-list>`);
  const [first, second] = config.patternLists.get('route1')!.rules;
  assert.equal(first!.result, null);
  assert.equal(first!.nested![0]!.result!.vmta, 'warm');
  assert.ok(first!.nested![0]!.pattern!.test('u@big.example'));
  assert.equal(first!.nested![1]!.nested![0]!.result!.vmta, 'bulk');
  assert.equal(first!.nested![1]!.subject.kind, 'always');
  assert.deepEqual(second!.result, { vmta: 'fast', priority: 80, callTo: null });
  assert.deepEqual(second!.subject, { kind: 'header', header: 'x-lane' });
});

test('C2.9 braces and two directives on a line do not exist', () => {
  errors('smtp-listener 0/0:26 {');
  errors('host-id 7 host-id 8');
});

test('C2.20 quotes around one word change nothing', () => {
  assert.equal(domain('queue-to "big.queue"').get('queue-to'), domain('queue-to big.queue').get('queue-to'));
});

test('C2.21 "" takes away an inherited value', () => {
  const config = good(
    '<domain *>\nbackoff-notify a@b.example\nsmtp-hosts h.example\n</domain>\n<domain c.example>\nbackoff-notify ""\nsmtp-hosts ""\n</domain>',
  );
  assert.deepEqual(config.queue('x.example', '{default}').get('backoff-notify'), ['a@b.example']);
  assert.deepEqual(config.queue('c.example', '{default}').get('backoff-notify'), []);
  assert.equal(config.queue('c.example', '{default}').get('smtp-hosts'), null);
  assert.equal(config.queue('c.example', '{default}').origin('smtp-hosts')?.line, 7);
});

test('C2.22 C2.24 backslash escapes only quote, backslash, dollar and blank', () => {
  assert.deepEqual(good('pickup e:\\drop\\new e:\\drop\\bad').global.get('pickup'), {
    directory: 'e:\\drop\\new',
    bad: 'e:\\drop\\bad',
  });
  assert.equal(good('log-file c:/pmta/logs/log').global.get('log-file'), 'c:/pmta/logs/log');
  assert.equal(domain('auth-username a\\ b\\\\').get('auth-username'), 'a b\\');
});

test('C2.23 a quoted command keeps its inner quotes', () => {
  assert.equal(
    domain('command "e:\\\\rx\\\\go.exe --to \\"$to\\""').get('command'),
    'e:\\rx\\go.exe --to "$to"',
  );
});

test('C2.25 in a regex only \\/ is undone', () => {
  const config = good(
    '<smtp-pattern-list p>\nreply /\\[Z9\\] a\\/b \\x23 4/ mode=backoff\n</smtp-pattern-list>',
  );
  const [rule] = config.smtpPatternLists.get('p')!.rules;
  assert.ok(rule!.pattern.test('[Z9] a/b # 4'));
  assert.equal(rule!.actions.mode, 'backoff');
});

test('C2.26 free text over several words stays whole', () => {
  assert.equal(
    good('custom-dsn-from-header Post <p@q.example>').global.get('custom-dsn-from-header'),
    'Post <p@q.example>',
  );
  assert.equal(domain('command /bin/cat -n').get('command'), '/bin/cat -n');
});

test('C2.30 C2.31 C2.32 commas with or without blanks; no empty items', () => {
  const keys = good('domain-key s1 , a.example , /k/a.pem\ndomain-key s1,a.example,/k/a.pem').domainKeys(
    '{default}',
  );
  assert.equal(keys.length, 2);
  assert.deepEqual({ ...keys[0], origin: 0 }, { ...keys[1], origin: 0 });
  assert.deepEqual(domain('retry-after 5m, 10m').get('retry-after'), [300_000, 600_000]);
  errors('<acct-file /a.csv>\nrecords d,,b\n</acct-file>');
  errors('<acct-file /a.csv>\nrecords d,b,\n</acct-file>');
  // Two that write one file; two programs are two.
  errors('<acct-file /x/a.csv>\n</acct-file>\n<acct-file /x/../x/a.csv>\nrecords r\n</acct-file>');
  good('<acct-file "|cat">\n</acct-file>\n<acct-file "|cat">\nrecords r\n</acct-file>');
});

test('C2.33 results are comma lists too, and a blank may follow call-to:', () => {
  const config = good(
    '<pattern-list other>\n* recipient-priority=1\n</pattern-list>\n<pattern-list l>\nheader x-t /9/ call-to: other\nmail-from /a/ recipient-priority=3 , virtual-mta={default}\n</pattern-list>',
  );
  const rules = config.patternLists.get('l')!.rules;
  assert.equal(rules[0]!.result!.callTo, 'other');
  assert.deepEqual(rules[1]!.result, { vmta: '{default}', priority: 3, callTo: null });
});

test('C4.1 C4.6 C4.9 a regex ends at its slash and takes no flags', () => {
  const config = good(
    '<bounce-category-patterns>\n/mailbox +is +full/ quota-issues\n// other\n</bounce-category-patterns>',
  );
  assert.deepEqual(
    config.bounceCategories.slice(0, 2).map((r) => [r.pattern.test('mailbox  is full'), r.category]),
    [
      [true, 'quota-issues'],
      [true, 'other'],
    ],
  );
  const [flag] = errors('<smtp-pattern-list p>\nreply /x/i mode=backoff\n</smtp-pattern-list>');
  assert.match(flag!.hint!, /no flags/);
});

test('C4.7 C4.8 headers and addresses are searched as they are', () => {
  const rules = good(
    '<pattern-list l>\nheader x-grp /^\\s*gold\\s*$/ recipient-priority=1\nrcpt-to /@corp\\.example$/ recipient-priority=2\n</pattern-list>',
  ).patternLists.get('l')!.rules;
  assert.ok(rules[0]!.pattern!.test(' gold'));
  assert.ok(rules[1]!.pattern!.test('a@corp.example'));
});

test('C4.10 a regex that does not compile names its line', () => {
  const [error] = errors('<smtp-pattern-list p>\n\nreply /(/ mode=backoff\n</smtp-pattern-list>');
  assert.equal(error!.line, 3);
  assert.match(error!.message, /does not compile/);
});

test('C12.1 include stands for the statements of the file, in any scope', () => {
  const config = good(
    '<domain *>\ninclude d.conf\n</domain>\n<bounce-category-patterns>\ninclude c.conf\n</bounce-category-patterns>',
    {
      '/etc/pmta/d.conf': 'max-smtp-out 6',
      '/etc/pmta/c.conf': '/x/ mine',
    },
  );
  const queue = config.queue('a.example', '{default}');
  assert.equal(queue.get('max-smtp-out'), 6);
  assert.deepEqual(queue.origin('max-smtp-out'), { file: '/etc/pmta/d.conf', line: 1 });
  assert.equal(config.bounceCategories[0]!.category, 'mine');
});

test('C12.2 C12.6 wildcards expand in byte order, and the files are part of the configuration', () => {
  const config = good('include /etc/pmta/vm.d/*.conf', {
    '/etc/pmta/vm.d/b.conf': 'host-id 2',
    '/etc/pmta/vm.d/a.conf': 'host-id 1',
    '/etc/pmta/vm.d/B.conf': 'host-id 3',
    '/etc/pmta/vm.d/.hidden.conf': 'host-id 9',
  });
  assert.equal(config.global.get('host-id'), 2);
  assert.deepEqual(config.files, [MAIN, ...['B', 'a', 'b'].map((n) => `/etc/pmta/vm.d/${n}.conf`)]);
});

test('C12.3 a wildcard without match is fine, a missing file is not', () => {
  good('include /etc/pmta/none/*.conf');
  const [error] = errors('include gone.conf');
  assert.match(error!.message, /gone\.conf cannot be read: there is no such file/);
});

test('C12.4 a cycle of includes and one too deep are errors', () => {
  const cycle = errors('include a.conf', {
    '/etc/pmta/a.conf': 'include b.conf',
    '/etc/pmta/b.conf': 'include a.conf',
  });
  assert.match(cycle[0]!.message, /includes itself/);
  const deep = Object.fromEntries(
    Array.from({ length: 25 }, (_, i) => [`/etc/pmta/${i}`, `include ${i + 1}`]),
  );
  assert.match(errors('include 0', deep)[0]!.message, /deeper than 20/);
});

test('C12.5 an included file has its own line numbers', () => {
  const [error] = errors('include /etc/pmta/vm.d/a.conf', { '/etc/pmta/vm.d/a.conf': '\n\nhost-id x' });
  assert.match(
    formatDiagnostic(error!),
    /^Error in line 3 of \/etc\/pmta\/vm\.d\/a\.conf: host-id: "x" is not/,
  );
});

test('C14.1 C14.2 with an error there is no configuration, and nothing is thrown', () => {
  const { config, diagnostics } = loadConfig(MAIN, diskOf({}));
  assert.equal(config, null);
  assert.match(diagnostics[0]!.message, /cannot be read/);
});

test('C14.6 an unknown name is an error that names the nearest', () => {
  const [directive] = errors('<domain *>\nmax-smtp-uot 5\n</domain>');
  assert.equal(directive!.message, 'unknown directive max-smtp-uot');
  assert.equal(directive!.hint, 'did you mean max-smtp-out?');
  assert.deepEqual([directive!.line, directive!.column, directive!.text], [2, 1, 'max-smtp-uot']);
  const [tag] = errors('<virtual-mtas v>\n</virtual-mtas>');
  assert.equal(tag!.hint, 'did you mean <virtual-mta>?');
  assert.match(
    warnings('<signals>\napi-key 00112233445566778899aabbccddeeff00112233\nbrand-new yes\n</signals>')[0]!,
    /not known/,
  );
});

test('C14.7 wrong scope, wrong type, missing and surplus arguments', () => {
  for (const text of [
    'max-smtp-out 5',
    'host-id x',
    'host-id',
    'host-id 1 2',
    '<domain>\n</domain>',
    '<signals x>\n</signals>',
  ]) {
    assert.equal(errors(text)[0]!.line, 1, text);
  }
});

test('C14.8 an old directive loads with a warning', () => {
  assert.match(warnings('spool /s')[0]!, /old directive/);
});

test('C14.9 all errors are told at once, each with its place', () => {
  const found = errors(
    'host-id x\n<domain *>\nmax-smtp-out y\nfoo\n</domain>\nuse-proxy p9\n<virtual-mta-pool p>\nvirtual-mta gone\n</virtual-mta-pool>',
  );
  assert.deepEqual(
    found.map((d) => d.line),
    [1, 3, 4, 6, 8],
  );
  assert.equal(load('host-id x\n'.repeat(5000)).diagnostics.length, 1000);
});
