// Files of a static site's images, made in the browser: fflate packs the ZIPs, gifenc the GIFs.

import { zipSync } from "./fflate/fflate.js";
import { GIFEncoder, applyPalette, quantize } from "./gifenc/gifenc.js";
import { imageName } from "./file-names.js";
import { packedPng } from "./png.js";

const CELL = 56; // as in the sheets of `jaxgen sample`, so that `jaxgen replay` makes the same one
const PADDING = 2;
const BACKGROUND = 128;
const MOST_FRAMES = 40;
const GREYS = Array.from({ length: 256 }, (_, value) => [value, value, value]);

/** As `file` of the server's backend: "grid", "zip" or "gif" of images {src, index, label}; frames: [[src of each]]. */
export async function fileOf(format, { used, model, images, frames }) {
  const channels = model.shape[2];
  if (format === "gif") return gifOf(frames, channels, { delay: 60, last: 1500 });
  if (format === "zip") return zipOf(used, images, channels);
  if (images.length === 1) return single(used, images[0], channels);
  const follow = images.every((image, i) => image.index === images[0].index + i);
  const labels = new Set(images.map(({ label }) => label));
  const label = labels.size === 1 ? [...labels][0] : "all";
  const text = follow ? provenance(used, images[0].index, images.length, label) : null;
  return sheetPng(images.map(({ src }) => src), channels, text);
}

/** frames: sources from one end to the other; a GIF goes there and back. */
export function walkFileOf(format, { model, frames }) {
  if (format === "grid") return sheetPng(frames, model.shape[2]);
  const toAndFro = [...frames, ...frames.slice(1, -1).reverse()].map((src) => [src]);
  return gifOf(toAndFro, model.shape[2], { delay: 90, last: 90 });
}

async function single(used, image, channels) {
  return packedPng(await pixelsOf(image.src, channels), provenance(used, image.index, 1, image.label));
}

/** A ZIP without compression, since PNGs are compressed; dated to the earliest date of the format. */
async function zipOf(used, images, channels) {
  const entries = images.map(async (image) => [imageName(used, image), await single(used, image, channels)]);
  return zipSync(Object.fromEntries(await Promise.all(entries)), { level: 0, mtime: new Date(1980, 0, 1) });
}

/** images: sources; text: the provenance of the whole, or null. */
async function sheetPng(images, channels, text = null) {
  return packedPng(sheet(await Promise.all(images.map((src) => pixelsOf(src, channels)))), text);
}

/** A GIF of sheets, of at most MOST_FRAMES frames; times in milliseconds. Grey is exact; each coloured frame has its
 * own 256 colours. */
async function gifOf(frames, channels, { delay, last }) {
  const every = Math.max(1, (frames.length - 1) / (MOST_FRAMES - 1));
  const count = Math.min(frames.length, MOST_FRAMES);
  const gif = GIFEncoder();
  for (let i = 0; i < count; i++) {
    const chosen = frames[Math.min(frames.length - 1, Math.round(i * every))];
    const { width, height, data } = sheet(await Promise.all(chosen.map((src) => pixelsOf(src, channels))));
    const rgba = channels === 1 ? null : withAlpha(data);
    const palette = rgba ? quantize(rgba, 256) : GREYS;
    const wait = i === count - 1 ? last : delay;
    gif.writeFrame(rgba ? applyPalette(rgba, palette) : data, width, height, { palette, delay: wait });
  }
  gif.finish();
  return gif.bytes();
}

function withAlpha(rgb) {
  const rgba = new Uint8Array((rgb.length / 3) * 4).fill(255);
  for (let i = 0; i < rgb.length / 3; i++) rgba.set(rgb.subarray(3 * i, 3 * i + 3), 4 * i);
  return rgba;
}

/** The pixels of an <img> source; channels: 1 or 3. */
async function pixelsOf(src, channels) {
  const image = new Image();
  image.src = src;
  await image.decode();
  const [width, height] = [image.naturalWidth, image.naturalHeight];
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const rgba = context.getImageData(0, 0, width, height).data;
  const data = new Uint8Array(width * height * channels);
  for (let i = 0; i < width * height; i++) for (let c = 0; c < channels; c++) data[i * channels + c] = rgba[i * 4 + c];
  return { width, height, channels, data };
}

/** Images on one sheet, row by row, magnified, on grey. */
function sheet(images) {
  const { width, height, channels } = images[0];
  const columns = Math.ceil(Math.sqrt(images.length));
  const scale = Math.ceil(CELL / Math.max(height, width));
  const [right, down] = [width * scale + PADDING, height * scale + PADDING];
  const rows = Math.ceil(images.length / columns);
  const whole = { width: columns * right + PADDING, height: rows * down + PADDING, channels };
  whole.data = new Uint8Array(whole.width * whole.height * channels).fill(BACKGROUND);
  images.forEach((image, i) => {
    const [left, top] = [PADDING + (i % columns) * right, PADDING + Math.floor(i / columns) * down];
    for (let y = 0; y < height * scale; y++) {
      for (let x = 0; x < width * scale; x++) {
        const from = (Math.floor(y / scale) * width + Math.floor(x / scale)) * channels;
        const to = ((top + y) * whole.width + left + x) * channels;
        for (let c = 0; c < channels; c++) whole.data[to + c] = image.data[from + c];
      }
    }
  });
  return whole;
}

/** The text chunk of a PNG of these images, as the command line writes it. */
function provenance(used, index, count, label) {
  const plan = used.sampler ? { sampler: used.sampler, steps: used.steps, eta: used.eta ?? 0 } : null;
  const { sha256: model, seed, guidance = null } = used;
  const record = { model, seed, index, count, label: label ?? -1, guidance, plan };
  return { jaxgen: JSON.stringify(used.untrained ? { ...record, untrained: true } : record) };
}
