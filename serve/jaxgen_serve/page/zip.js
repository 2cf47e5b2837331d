// ZIP files of what is packed already, such as PNGs: entries are stored.

import { crc32, joined } from "./png.js";

/** files: [{name, data: Uint8Array}] -> the archive's bytes. */
export function zip(files) {
  const bodies = [];
  const entries = [];
  let at = 0;
  for (const { name, data } of files) {
    const letters = new TextEncoder().encode(name);
    // version, flags (names are UTF-8), stored, 1 January 1980, checksum, sizes, length of the name, no extra field
    const facts = [u16(20), u16(0x0800), u16(0), u16(0), u16(0x21), u32(crc32(data)), u32(data.length), u32(data.length)];
    const body = joined([u32(0x04034b50), ...facts, u16(letters.length), u16(0), letters, data]);
    const place = [u16(letters.length), u16(0), u16(0), u16(0), u16(0), u32(0), u32(at), letters];
    entries.push(joined([u32(0x02014b50), u16(20), ...facts, ...place]));
    bodies.push(body);
    at += body.length;
  }
  const index = joined(entries);
  const count = [u16(files.length), u16(files.length)];
  return joined([...bodies, index, u32(0x06054b50), u16(0), u16(0), ...count, u32(index.length), u32(at), u16(0)]);
}

const u16 = (n) => Uint8Array.of(n & 255, (n >>> 8) & 255);
const u32 = (n) => Uint8Array.of(n & 255, (n >>> 8) & 255, (n >>> 16) & 255, n >>> 24);
