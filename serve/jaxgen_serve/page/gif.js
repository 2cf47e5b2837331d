// Animated GIFs from pixels. Grey is exact; each coloured frame gets 256 colours of its own.

import { joined } from "./png.js";

/** frames: [{width, height, channels, data}], all of one size; delays in milliseconds, cut to hundredths. */
export function gif(frames, { delay = 60, last = 1500 } = {}) {
  const { width, height } = frames[0];
  const loop = [0x21, 0xff, 11, ..."NETSCAPE2.0".split("").map((c) => c.charCodeAt(0)), 3, 1, 0, 0, 0];
  const parts = [bytes("GIF89a"), u16(width), u16(height), Uint8Array.of(0x70, 0, 0), Uint8Array.from(loop)];
  frames.forEach((frame, i) => {
    const { colours, indices } = frame.channels === 1 ? greys(frame) : palette(frame);
    const wait = Math.round((i === frames.length - 1 ? last : delay) / 10);
    parts.push(Uint8Array.of(0x21, 0xf9, 4, 4), u16(wait), Uint8Array.of(0, 0, 0x2c, 0, 0, 0, 0));
    parts.push(u16(width), u16(height), Uint8Array.of(0x87), colours, Uint8Array.of(8), ...blocks(lzw(indices)));
  });
  return joined([...parts, Uint8Array.of(0x3b)]);
}

function greys({ data }) {
  return { colours: Uint8Array.from({ length: 768 }, (_, i) => Math.floor(i / 3)), indices: data };
}

/** Median cut: the box with the widest side is halved until there are 256. */
function palette({ data }) {
  const counts = new Map();
  for (let i = 0; i < data.length; i += 3) {
    const colour = (data[i] << 16) | (data[i + 1] << 8) | data[i + 2];
    counts.set(colour, (counts.get(colour) ?? 0) + 1);
  }
  const boxes = [box([...counts.keys()])];
  while (boxes.length < 256) {
    const widest = boxes.reduce((best, one, i) => (one.width > boxes[best].width ? i : best), 0);
    const { width, shift, colours } = boxes[widest];
    if (!width) break; // every colour has a place of its own
    colours.sort((a, b) => ((a >> shift) & 255) - ((b >> shift) & 255));
    const half = colours.length >> 1;
    boxes.splice(widest, 1, box(colours.slice(0, half)), box(colours.slice(half)));
  }
  const place = new Map();
  const colours = new Uint8Array(768);
  boxes.forEach((one, n) => {
    const weight = one.colours.reduce((sum, colour) => sum + counts.get(colour), 0);
    [16, 8, 0].forEach((shift, c) => {
      const sum = one.colours.reduce((all, colour) => all + ((colour >> shift) & 255) * counts.get(colour), 0);
      colours[n * 3 + c] = Math.round(sum / weight);
    });
    for (const colour of one.colours) place.set(colour, n);
  });
  const indices = new Uint8Array(data.length / 3);
  for (let i = 0; i < indices.length; i++) {
    indices[i] = place.get((data[3 * i] << 16) | (data[3 * i + 1] << 8) | data[3 * i + 2]);
  }
  return { colours, indices };
}

function box(colours) {
  let widest = { width: 0, shift: 0 };
  for (const shift of [16, 8, 0]) {
    let [low, high] = [255, 0];
    for (const colour of colours) {
      low = Math.min(low, (colour >> shift) & 255);
      high = Math.max(high, (colour >> shift) & 255);
    }
    if (high - low > widest.width) widest = { width: high - low, shift };
  }
  return { ...widest, colours };
}

/** Bytes packed as GIF does it: codes of 9 bits and more, the table cleared when it is full. */
function lzw(indices) {
  const [CLEAR, END] = [256, 257];
  const out = [];
  let [hold, held, size, next, table] = [0, 0, 9, 258, new Map()];
  const emit = (code) => {
    hold |= code << held;
    for (held += size; held >= 8; held -= 8, hold >>>= 8) out.push(hold & 255);
  };
  emit(CLEAR);
  let prefix = indices[0];
  for (let i = 1; i < indices.length; i++) {
    const key = (prefix << 8) | indices[i];
    if (table.has(key)) {
      prefix = table.get(key);
      continue;
    }
    emit(prefix);
    table.set(key, next);
    if (next === 1 << size) size += 1;
    next += 1;
    if (next === 4096) {
      emit(CLEAR);
      [size, next, table] = [9, 258, new Map()];
    }
    prefix = indices[i];
  }
  emit(prefix);
  emit(END);
  if (held) out.push(hold & 255);
  return Uint8Array.from(out);
}

function blocks(packed) {
  const parts = [];
  for (let at = 0; at < packed.length; at += 255) {
    const part = packed.subarray(at, at + 255);
    parts.push(Uint8Array.of(part.length), part);
  }
  return [...parts, Uint8Array.of(0)];
}

const bytes = (text) => Uint8Array.from(text, (c) => c.charCodeAt(0));
const u16 = (n) => Uint8Array.of(n & 255, (n >>> 8) & 255);
