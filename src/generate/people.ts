import { Random } from './random.ts';
import type { Scenario } from './scenario.ts';

/** A recipient. */
export interface Person {
  readonly name: string;
  readonly address: string;
}

const FIRST = [
  'Ada',
  'Amir',
  'Ana',
  'Anke',
  'Bao',
  'Ben',
  'Carla',
  'Chidi',
  'Clara',
  'Dalia',
  'Dev',
  'Elif',
  'Emil',
  'Eva',
  'Farah',
  'Felix',
  'Grace',
  'Hana',
  'Hugo',
  'Ines',
  'Ivan',
  'Jana',
  'Joao',
  'Julia',
  'Kofi',
  'Lars',
  'Lea',
  'Lin',
  'Luca',
  'Maja',
  'Marie',
  'Mateo',
  'Mina',
  'Nadia',
  'Noah',
  'Olga',
  'Omar',
  'Paula',
  'Pilar',
  'Ravi',
  'Rosa',
  'Sam',
  'Sara',
  'Tariq',
  'Tess',
  'Uma',
  'Vera',
  'Yara',
  'Yusuf',
  'Zoe',
];
const LAST = [
  'Abel',
  'Adeyemi',
  'Arslan',
  'Bauer',
  'Berg',
  'Bianchi',
  'Blanc',
  'Costa',
  'Cruz',
  'Dubois',
  'Eriksen',
  'Ferrari',
  'Fischer',
  'Garcia',
  'Gomez',
  'Gupta',
  'Haas',
  'Horvat',
  'Ibrahim',
  'Jansen',
  'Kaya',
  'Keller',
  'Khan',
  'Kim',
  'Kowalski',
  'Kruger',
  'Lang',
  'Larsen',
  'Lopez',
  'Marin',
  'Martin',
  'Mensah',
  'Moreau',
  'Nagy',
  'Novak',
  'Okafor',
  'Petit',
  'Popov',
  'Ricci',
  'Rossi',
  'Sato',
  'Silva',
  'Singh',
  'Smit',
  'Tanaka',
  'Torres',
  'Vogel',
  'Weber',
  'Wong',
  'Young',
];

/**
 * The list that all campaigns of a scenario are sent to. It depends on the seed alone, so the same people get mail
 * again in every run, and their domains have the scenario's shares exactly (as far as whole people allow).
 */
export function makePeople(scenario: Scenario, seed: number): Person[] {
  const random = new Random(seed, 'people');
  const taken = new Set<string>();
  const people: Person[] = [];
  const total = scenario.domains.reduce((sum, { weight }) => sum + weight, 0);
  let share = 0;
  for (const { domain, weight } of scenario.domains) {
    share += weight;
    const upTo = Math.round((share / total) * scenario.people);
    while (people.length < upTo) {
      const first = random.pick(FIRST);
      const last = random.pick(LAST);
      const digits = random.chance(0.8) ? String(random.int(1, 999)) : '';
      const address = `${first}.${last}${digits}@${domain}`.toLowerCase();
      if (taken.has(address)) continue;
      taken.add(address);
      people.push({ name: `${first} ${last}`, address });
    }
  }
  return people;
}
