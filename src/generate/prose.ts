import type { Random } from './random.ts';
import type { Language } from './scenario.ts';

/** Halves of sentences that go together in any combination, so that no two messages read the same. */
const halves: Record<
  Language,
  { readonly openings: readonly string[]; readonly endings: readonly string[] }
> = {
  en: {
    openings: [
      'Our buyers went through the whole collection and',
      'Since last week the new season has begun, and',
      'You told us what you are missing, so',
      'Between the shelves of our oldest store',
      'For everyone who plans ahead',
      'Whatever the weather does next,',
      'The people at the workshop promise that',
    ],
    endings: [
      'we picked three things that you will like.',
      'prices start at half of what they were.',
      'there is something for every room of the house.',
      'delivery is free until Sunday night.',
      'nothing leaves the house without a second look.',
      'we keep your size for two more days.',
      'the kettle is on; come and see us.',
    ],
  },
  de: {
    openings: [
      'Für alle, die früh planen,',
      'Seit gestern hängen die neuen Größen im Geschäft, und',
      'Weil Sie danach gefragt haben,',
      'Zwischen Küche und Straße',
      'In unserer ältesten Filiale',
      'Ganz gleich, wie das Wetter wird,',
    ],
    endings: [
      'gibt es jetzt schöne Dinge für wenig Geld.',
      'liefern wir bis Sonntag ohne Gebühr.',
      'haben wir drei Stücke für Sie zurückgelegt.',
      'prüft unser Team jedes Paket zweimal.',
      'wird jeder zweite Artikel günstiger.',
      'heißt es: zugreifen, solange der Vorrat reicht.',
    ],
  },
  fr: {
    openings: [
      'Dès ce matin,',
      "Pour celles et ceux qui préparent l'été,",
      'Parce que vous nous avez écrit,',
      'Dans notre boutique préférée,',
      'Même après la fermeture,',
    ],
    endings: [
      'les prix baissent de moitié.',
      'la livraison est offerte à partir de dimanche.',
      'nous avons gardé votre taille de côté.',
      'chaque colis est vérifié à la main.',
      'vous trouverez ça et là de très belles idées.',
    ],
  },
  es: {
    openings: [
      'Desde esta mañana,',
      'Para quienes ya piensan en el otoño,',
      'Como nos pidió usted,',
      'En nuestra tienda más pequeña,',
      'Aunque llueva todo el año,',
    ],
    endings: [
      'los precios bajan a la mitad.',
      'el envío no cuesta nada hasta el domingo.',
      'guardamos su talla dos días más.',
      'revisamos cada paquete con cariño.',
      'hay algo para cada rincón de la casa.',
    ],
  },
};

/** Greetings, by language, before a name. */
export const greetings: Record<Language, string> = {
  en: 'Hello',
  de: 'Guten Tag',
  fr: 'Bonjour',
  es: 'Hola',
};

/** A paragraph of two to six sentences. */
export function paragraph(random: Random, language: Language): string {
  const { openings, endings } = halves[language];
  const sentences: string[] = [];
  for (let n = random.int(2, 6); n > 0; n--)
    sentences.push(`${random.pick(openings)} ${random.pick(endings)}`);
  return sentences.join(' ');
}
