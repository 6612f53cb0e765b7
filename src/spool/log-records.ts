/**
 * Records of the spool's log: a header of 40 octets, a text (JSON), and for a message its content. The checksum covers
 * header and text; the text holds that of the content. A file is one segment: all its records carry the segment's
 * number, so that what an earlier use of the file left behind is not taken for more of it, and a mark that is made of
 * the number with the key of the store, so that nobody can write a record into a message. Records that were written
 * together are a group, and nobody was told of one that is not there whole.
 */
import { createHmac } from 'node:crypto';
import { crc32 } from 'node:zlib';

const MAGIC = 0x676c4850;
const SEGMENT_AT = 4;
const MARK_AT = 8;
const GROUP_AT = 16;
const PLACE_AT = 20;
const COUNT_AT = 24;
const TEXT_LENGTH_AT = 28;
const CONTENT_LENGTH_AT = 32;
const CHECKSUM_AT = 36;
export const HEADER = 40;
/** Records are written one behind the other into a piece of memory of this size. */
const SLAB = 64 * 1024;

export interface LogRecord {
  readonly text: string;
  /** Empty where there is none. */
  readonly content: Buffer;
}

/** A part of a segment that should be readable and is not. */
export interface DamagedPart {
  readonly offset: number;
  readonly octets: Buffer;
}

export interface ReadSegment {
  readonly number: number;
  readonly records: readonly LogRecord[];
  readonly damaged: readonly DamagedPart[];
}

let slab = Buffer.alloc(0);
let used = 0;

/** Room for the header, and the text behind it; `sealRecord` fills in the header. */
export function recordOctets(text: string): Buffer {
  // UTF-8 of a UTF-16 unit is three octets at most.
  const most = HEADER + text.length * 3;
  if (most > SLAB) {
    const alone = Buffer.allocUnsafeSlow(HEADER + Buffer.byteLength(text));
    alone.write(text, HEADER);
    return alone;
  }
  if (used + most > slab.length) {
    slab = Buffer.allocUnsafeSlow(SLAB);
    used = 0;
  }
  const start = used;
  used = start + HEADER + slab.write(text, start + HEADER);
  return slab.subarray(start, used);
}

/** With what every record of a segment begins. */
export function beginningOf(segment: number, key: string): Buffer {
  const beginning = Buffer.alloc(GROUP_AT);
  beginning.writeUInt32LE(MAGIC, 0);
  beginning.writeUInt32LE(segment, SEGMENT_AT);
  createHmac('sha256', key)
    .update(`${segment}`)
    .digest()
    .copy(beginning, MARK_AT, 0, GROUP_AT - MARK_AT);
  return beginning;
}

/** Where a record stands. */
export interface Place {
  readonly group: number;
  /** In the group, from 0. */
  readonly place: number;
  /** Records of the group. */
  readonly count: number;
}

export function sealRecord(octets: Buffer, beginning: Buffer, contentLength: number, at: Place): void {
  octets.set(beginning);
  octets.writeUInt32LE(at.group, GROUP_AT);
  octets.writeUInt32LE(at.place, PLACE_AT);
  octets.writeUInt32LE(at.count, COUNT_AT);
  octets.writeUInt32LE(octets.length - HEADER, TEXT_LENGTH_AT);
  octets.writeUInt32LE(contentLength, CONTENT_LENGTH_AT);
  octets.writeUInt32LE(checksum(octets), CHECKSUM_AT);
}

function checksum(octets: Buffer): number {
  return crc32(octets.subarray(HEADER), crc32(octets.subarray(0, CHECKSUM_AT)));
}

interface Found extends LogRecord, Place {
  readonly start: number;
  readonly end: number;
}

/** What a file holds of the segment whose records begin so; null when that is nothing. */
export function readSegment(file: Buffer, number: number, beginning: Buffer): ReadSegment | null {
  const records: Found[] = [];
  const gaps: { readonly before: Found | undefined; readonly next: Found }[] = [];
  for (let at = 0; ; ) {
    let record = recordAt(file, at, beginning);
    if (!record) {
      record = nextRecord(file, at, beginning);
      if (!record) break;
      gaps.push({ before: records.at(-1), next: record });
    }
    records.push(record);
    at = record.end;
  }
  if (records.length === 0) return null;
  // Of the last group a part may be missing: the power went, or the disk refused it, and nobody was told of any of it.
  const { group: last } = records.at(-1)!;
  const torn = gaps.findIndex(
    ({ before, next }) => next.group === last && next.place > 0 && isOfOneGroup(before, next),
  );
  const known = torn === -1 ? records : records.slice(0, records.indexOf(gaps[torn]!.next));
  const damaged = (torn === -1 ? gaps : gaps.slice(0, torn)).map(({ before, next }) => {
    const offset = before?.end ?? 0;
    return { offset, octets: file.subarray(offset, next.start) };
  });
  return { number, records: known, damaged };
}

/** Whether all that is missing between these was of the group of the second. */
function isOfOneGroup(before: Found | undefined, next: Found): boolean {
  if (!before) return next.group === 0;
  return (
    before.group === next.group || (before.group === next.group - 1 && before.place === before.count - 1)
  );
}

function recordAt(file: Buffer, start: number, beginning: Buffer): Found | null {
  if (start + HEADER > file.length) return null;
  if (file.compare(beginning, 0, GROUP_AT, start, start + GROUP_AT) !== 0) return null;
  const textEnd = start + HEADER + file.readUInt32LE(start + TEXT_LENGTH_AT);
  const end = textEnd + file.readUInt32LE(start + CONTENT_LENGTH_AT);
  if (end > file.length) return null;
  if (file.readUInt32LE(start + CHECKSUM_AT) !== checksum(file.subarray(start, textEnd))) return null;
  return {
    group: file.readUInt32LE(start + GROUP_AT),
    place: file.readUInt32LE(start + PLACE_AT),
    count: file.readUInt32LE(start + COUNT_AT),
    text: file.toString('utf8', start + HEADER, textEnd),
    content: file.subarray(textEnd, end),
    start,
    end,
  };
}

/** The next one behind a part that cannot be read. */
function nextRecord(file: Buffer, from: number, beginning: Buffer): Found | null {
  for (let at = file.indexOf(beginning, from); at !== -1; at = file.indexOf(beginning, at + 1)) {
    const record = recordAt(file, at, beginning);
    if (record) return record;
  }
  return null;
}
