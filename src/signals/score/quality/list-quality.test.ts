import assert from 'node:assert/strict';
import { test } from 'node:test';
import { qualityFault } from './list-quality.ts';

const fault = (address: string) => {
  const at = address.lastIndexOf('@');
  return qualityFault(address.slice(0, at), address.slice(at + 1));
};

test('patterns of bad collection', () => {
  for (const [address, kind] of [
    ['postmaster@brand.example', 'role'],
    ['sales+eu@brand.example', 'role'],
    ['asdf@brand.example', 'placeholder'],
    ['test@brand.example', 'placeholder'],
    ['ada@mailinator.com', 'disposable'],
    ['@yopmail.com', 'disposable'],
    ['xkqjzvbtw@brand.example', 'random'],
    ['a8f3c1b9d2e7@brand.example', 'random'],
    ['aaaaaaaa@brand.example', 'random'],
    ['qwrtzpsdfg99@brand.example', 'random'],
  ] as const) {
    assert.equal(fault(address), kind, address);
  }
});

test('people are left alone', () => {
  for (const address of [
    'ada@example.net',
    'ada.lovelace@brand.example',
    'j.schwartzkopf@brand.example',
    'schmidtk@brand.example',
    'john1984smith2@brand.example',
    'krzysztof@brand.example',
    'zbigniew77@brand.example',
    'ngwhitfield@brand.example',
    'rhythmandblues@brand.example',
    'szczepanski@brand.example',
    'mailman@brand.example',
    'иван.петров@brand.example',
    'o.infante@brand.example',
    '12345678901@qq.com',
    '@brand.example',
    `${'x'.repeat(500)}@brand.example`,
  ]) {
    assert.equal(fault(address), null, address.slice(0, 60));
  }
});
