// Images as pixels, {width, height, channels, data}, and what is made of them: sheets, files' names, provenance.

import { gif } from "./gif.js";
import { dataUrl, packedPng, plainPng } from "./png.js";
import { zip } from "./zip.js";

const CELL = 56; // as `jaxgen sample` makes its sheets, so that `jaxgen replay` finds the same one
const PADDING = 2;
const BACKGROUND = 128;
const MOST_FRAMES = 40;

/** The pixels of an <img> source; channels: 1 takes a grey image's one channel. */
export async function pixelsOf(src, channels) {
  const image = new Image();
  image.src = src;
  await image.decode();
  const [width, height] = [image.naturalWidth, image.naturalHeight];
  const context = canvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const rgba = context.getImageData(0, 0, width, height).data;
  const data = new Uint8Array(width * height * channels);
  for (let i = 0; i < width * height; i++) for (let c = 0; c < channels; c++) data[i * channels + c] = rgba[i * 4 + c];
  return { width, height, channels, data };
}

export function canvas(width, height) {
  return Object.assign(document.createElement("canvas"), { width, height });
}

/** Images [N, H, W, C] of one array as sources. */
export function sources(data, [count, height, width, channels]) {
  const size = height * width * channels;
  return Array.from({ length: count }, (_, i) =>
    dataUrl(plainPng({ width, height, channels, data: data.subarray(i * size, (i + 1) * size) })),
  );
}

/** Images on one sheet, row by row, magnified, on grey. */
export function sheet(images) {
  const { width, height, channels } = images[0];
  const columns = Math.ceil(Math.sqrt(images.length));
  const scale = Math.ceil(CELL / Math.max(height, width));
  const [right, down] = [width * scale + PADDING, height * scale + PADDING];
  const whole = { width: columns * right + PADDING, height: Math.ceil(images.length / columns) * down + PADDING, channels };
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

/** What a PNG of these images says of itself, as the command line writes it. */
export function provenance(used, index, count, label) {
  const plan = used.sampler ? { sampler: used.sampler, steps: used.steps, eta: used.eta ?? 0 } : null;
  const said = { model: used.sha256, seed: used.seed, index, count, label: label ?? -1, guidance: used.guidance ?? null, plan };
  return { jaxgen: JSON.stringify(used.untrained ? { ...said, untrained: true } : said) };
}

/** An image's file name, as the command line names it. */
export function fileName(used, image) {
  const label = image.label === null || image.label < 0 ? "" : `-class${image.label}`;
  return `${used.untrained ? "untrained-" : ""}seed${used.seed}-${String(image.index).padStart(6, "0")}${label}.png`;
}

export async function bytesOf(src) {
  if (!src.startsWith("data:")) return new Uint8Array(await (await fetch(src)).arrayBuffer());
  return Uint8Array.from(atob(src.slice(src.indexOf(",") + 1)), (letter) => letter.charCodeAt(0));
}

export async function zipOf(used, images) {
  return zip(await Promise.all(images.map(async (image) => ({ name: fileName(used, image), data: await bytesOf(image.src) }))));
}

/** images: sources; text: the provenance of the whole, or null. */
export async function sheetPng(images, channels, text = null) {
  return packedPng(sheet(await Promise.all(images.map((src) => pixelsOf(src, channels)))), text);
}

/** frames: [[source of each image]] -> a GIF of sheets, of at most MOST_FRAMES frames. */
export async function gifOf(frames, channels, times = {}) {
  const every = Math.max(1, (frames.length - 1) / (MOST_FRAMES - 1));
  const count = Math.min(frames.length, MOST_FRAMES);
  const chosen = Array.from({ length: count }, (_, i) => frames[Math.min(frames.length - 1, Math.round(i * every))]);
  const sheets = [];
  for (const frame of chosen) sheets.push(sheet(await Promise.all(frame.map((src) => pixelsOf(src, channels)))));
  return gif(sheets, times);
}
