// Samples images from a jaxgen model file: seed in, PNG files out. The same images as jaxgen's own.
//
//   node sample.mjs required.onnx --seed 7 --count 4 --plan ddim-20 -o images/
//
// The file must be one whose every input is required: onnxruntime-node ignores what is fed to an input with a default.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { deflateSync } from "node:zlib";
import * as ort from "onnxruntime-node";

const COLUMNS = 9; // of a plan
const HELP = "usage: node sample.mjs MODEL.onnx [--seed 0] [--index 0] [--count 1] [--label 3] [--plan NAME] [--guidance 2] [-o FOLDER/ | FILE.raw]";

async function main() {
  const { values: options, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seed: { type: "string", default: "0" },
      index: { type: "string", default: "0" }, // of the first image
      count: { type: "string", default: "1" },
      label: { type: "string" }, // a class's number, of conditional models
      plan: { type: "string" }, // a name in the file's manifest, of models with plans
      guidance: { type: "string" }, // of conditional models with plans; 1: none
      output: { type: "string", short: "o", default: "images/" },
    },
  });
  if (positionals.length !== 1) throw new Error(HELP);
  const bytes = readFileSync(positionals[0]);
  const session = await ort.InferenceSession.create(bytes, { logSeverityLevel: 3 });
  const { images, state_out: state } = await session.run(feedsOf(session, manifestOf(bytes), options));
  if (state?.data.some(Number.isNaN)) throw new Error("sampled NaN: the weights or the plan have diverged");
  write(images, options);
}

/** What the graph is fed, by the names of its inputs: README's "The file" says what each of them means. */
function feedsOf(session, manifest, options) {
  const [count, first] = [integer(options, "count", 1, 4096), integer(options, "index", 0, 2 ** 32 - 1)];
  if (first + count > 2 ** 32) throw new Error(`a seed has images 0 to 4294967295, got --index ${first} and --count ${count}`);
  const column = (value) => new ort.Tensor("int64", BigInt64Array.from({ length: count }, (_, i) => BigInt(value(i))), [count]);
  const floats = (data, dims) => new ort.Tensor("float32", Float32Array.from(data), dims);
  const shape = (name) => session.inputMetadata.find((one) => one.name === name).shape;

  const makers = {
    seed: () => column(() => integer(options, "seed", 0, 2 ** 32 - 1)),
    index: () => column((i) => first + i),
    label: () => column(() => integer(options, "label", manifest.inference.null_class ? -1 : 0, manifest.inference.classes.length - 1)),
    guidance: () => floats([options.guidance === undefined ? manifest.inference.guidance : number(options, "guidance", 0, 100)], []),
    plan: () => planOf(manifest, options.plan ?? "default", floats),
    state: () => floats([], [2, 0, ...shape("state").slice(2)]), // empty: start from the seed's noise
    latent: () => floats([], [0, ...shape("latent").slice(1)]), // likewise
  };
  if (!session.inputNames.some((name) => name === "plan" || name === "latent")) {
    throw new Error("this file's inputs have defaults: make one without, jaxgen export MODEL.onnx --inputs required -o required.onnx");
  }
  for (const name of ["label", "guidance", "plan"]) {
    if (options[name] !== undefined && !session.inputNames.includes(name)) throw new Error(`this model takes no --${name}`);
  }
  return Object.fromEntries(session.inputNames.map((name) => [name, makers[name]()]));
}

function planOf(manifest, name, floats) {
  const plan = manifest.plans[name];
  if (!plan) throw new Error(`no plan ${name}; the file has ${Object.keys(manifest.plans).join(", ")}`);
  const bytes = Uint8Array.from(Buffer.from(plan.table, "base64")); // float32, little-endian
  return floats(new Float32Array(bytes.buffer), [bytes.length / 4 / COLUMNS, COLUMNS]);
}

function integer(options, name, least, most) {
  const value = number(options, name, least, most, "an integer");
  if (!Number.isInteger(value)) throw new Error(`--${name} takes an integer from ${least} to ${most}`);
  return value;
}

function number(options, name, least, most, kind = "a number") {
  const value = options[name]?.trim() ? Number(options[name]) : NaN; // Number("") is 0
  if (!(value >= least && value <= most)) throw new Error(`--${name} takes ${kind} from ${least} to ${most}`);
  return value;
}

/** The JSON in the model's metadata entry "jaxgen", found without a protobuf library. */
function manifestOf(bytes) {
  const text = (value) => Buffer.from(value).toString();
  for (const [number, value] of fields(bytes)) {
    if (number !== 14) continue; // metadata_props of ModelProto: pairs of key, field 1, and value, field 2
    const entry = new Map(fields(value));
    if (text(entry.get(1)) === "jaxgen") return JSON.parse(text(entry.get(2)));
  }
  throw new Error("this is no jaxgen file: it has no manifest");
}

/** The fields of a protobuf message: [number, bytes], the bytes being empty for numbers. */
function* fields(bytes) {
  for (let at = 0; at < bytes.length; ) {
    const varint = () => {
      let value = 0;
      for (let scale = 1; ; scale *= 128) {
        const byte = bytes[at++];
        value += (byte & 127) * scale;
        if (!(byte >= 128)) return value;
      }
    };
    const tag = varint();
    const wire = tag % 8;
    const length = wire === 2 ? varint() : { 1: 8, 5: 4 }[wire] ?? (varint(), 0);
    yield [Math.floor(tag / 8), bytes.subarray(at, at + length)];
    at += length;
  }
}

function write(images, { output, seed, index }) {
  const [count, height, width, channels] = images.dims;
  if (!output.endsWith("/")) return writeFileSync(output, images.data); // uint8 [N, H, W, C], nothing else
  mkdirSync(output, { recursive: true });
  const size = height * width * channels;
  for (let i = 0; i < count; i++) {
    const name = `seed${seed}-${String(Number(index) + i).padStart(6, "0")}.png`;
    writeFileSync(join(output, name), png(images.data.subarray(i * size, (i + 1) * size), width, height, channels));
  }
}

/** An 8-bit PNG, grey or RGB. */
function png(pixels, width, height, channels) {
  const chunk = (type, data) => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    sum.writeUInt32BE(crc32(body));
    return Buffer.concat([length, body, sum]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, channels === 3 ? 2 : 0], 8);
  const stride = width * channels;
  const rows = Array.from({ length: height }, (_, y) => [0, ...pixels.subarray(y * stride, (y + 1) * stride)]); // 0: no filter
  const signature = Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]);
  return Buffer.concat([signature, chunk("IHDR", header), chunk("IDAT", deflateSync(Buffer.from(rows.flat()))), chunk("IEND", Buffer.alloc(0))]);
}

/** The checksum of a PNG's chunk. */
function crc32(bytes) {
  let sum = ~0;
  for (const byte of bytes) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit++) sum = sum & 1 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1;
  }
  return ~sum >>> 0;
}

main().catch((error) => {
  console.error(`sample.mjs: ${error.message}`);
  process.exitCode = 1;
});
