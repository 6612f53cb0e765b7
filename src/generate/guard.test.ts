import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UserError } from '../system/user-error.ts';
import { guardDestinations } from './guard.ts';

const refuses = (address: string, allowed: string[] = []) =>
  assert.throws(
    () => guardDestinations(['a@ok.test', address], allowed),
    (error) => error instanceof UserError && error.exitCode === 2 && error.message.includes(address),
  );

test('domains reserved for tests, and those allowed by name', () => {
  guardDestinations(['a@gmail.sink.test', 'b@x.example', 'c@test', 'd@y.invalid', 'e@Z.LOCALHOST'], []);
  guardDestinations(['a@sink.corp', 'b@gmail.sink.corp'], ['sink.corp']);
});

test('all others stop the run before it begins', () => {
  refuses('ana@gmail.com');
  refuses('ana@sink.test.com');
  refuses('ana@mytest');
  refuses('ana@notsink.corp', ['sink.corp']);
  refuses('ana@corp', ['sink.corp']);
  refuses('no-domain');
  refuses('ana@x.com', ['not a domain']);
});
