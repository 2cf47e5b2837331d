// PNG files from pixels, with the text chunk that holds an image's provenance; and images as data URLs.

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

function joined(parts) {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** An image {width, height, channels (1 or 3), data: Uint8Array} as a PNG, packed; text: {keyword: string} or null. */
export async function packedPng(image, text = null) {
  const stream = new Blob([scanlines(image)]).stream().pipeThrough(new CompressionStream("deflate"));
  return file(image, new Uint8Array(await new Response(stream).arrayBuffer()), text);
}

/** The same, uncompressed and synchronous, for the many small images of a running request. */
function plainPng(image, text = null) {
  return file(image, stored(scanlines(image)), text);
}

/** Bytes as a data URL. */
function dataUrl(bytes, type = "image/png") {
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return `data:${type};base64,${btoa(text)}`;
}

/** Images [N, H, W, C] of one array as <img> sources. */
export function sources(data, [count, height, width, channels]) {
  const size = height * width * channels;
  return Array.from({ length: count }, (_, i) =>
    dataUrl(plainPng({ width, height, channels, data: data.subarray(i * size, (i + 1) * size) })),
  );
}

/** The file behind an <img> source. */
export const bytesOf = async (src) => (await fetch(src)).blob();

function scanlines({ width, height, channels, data }) {
  const line = width * channels;
  const lines = new Uint8Array(height * (line + 1)); // each starts with its filter: 0, none
  for (let y = 0; y < height; y++) lines.set(data.subarray(y * line, (y + 1) * line), y * (line + 1) + 1);
  return lines;
}

function stored(bytes) {
  const parts = [Uint8Array.of(0x78, 0x01)];
  for (let at = 0; at < bytes.length; at += 65535) {
    const part = bytes.subarray(at, at + 65535);
    const size = part.length;
    const last = at + size === bytes.length ? 1 : 0;
    parts.push(Uint8Array.of(last, size & 255, size >> 8, ~size & 255, (~size >> 8) & 255), part);
  }
  let [a, b] = [1, 0];
  for (const byte of bytes) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  return joined([...parts, bigEndian(((b << 16) | a) >>> 0)]);
}

function file({ width, height, channels }, packed, text) {
  const header = joined([bigEndian(width), bigEndian(height), Uint8Array.of(8, channels === 3 ? 2 : 0, 0, 0, 0)]);
  const texts = Object.entries(text ?? {}).map(([key, value]) => chunk("tEXt", latin(`${key}\0${value}`)));
  const chunks = [chunk("IHDR", header), ...texts, chunk("IDAT", packed), chunk("IEND", [])];
  return joined([Uint8Array.from(SIGNATURE), ...chunks]);
}

function chunk(kind, content) {
  const body = joined([latin(kind), Uint8Array.from(content)]);
  return joined([bigEndian(body.length - 4), body, bigEndian(crc32(body))]);
}

const latin = (text) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));
const bigEndian = (n) => Uint8Array.of(n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255);
