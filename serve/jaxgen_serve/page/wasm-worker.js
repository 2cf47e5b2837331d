// The worker of wasm-runtime.js: runs one model in onnxruntime-web.

import { imageNoise } from "./noise.js";
import { PATHS } from "./paths.js";

const SLICES = 50; // of a plan at most: between two slices a frame is sent, or a cancelled call ends
const COLUMNS = 9; // of a plan
const NOISE = 7; // the column with the share of fresh noise
const STILL = Float32Array.of(0, 0, 0, 1, 1, 0, 0, 0, 0); // a row that leaves x unchanged, so that it is the noise

const cancelled = new Set();
let ort = null;
let session = null;
let model = null; // {shape, classes, optional, latent, guidance}; latent: null for a model with plans
let queue = Promise.resolve();

onmessage = ({ data: { id, method, body } }) => {
  if (method === "cancel") return void cancelled.add(id);
  queue = queue.then(async () => {
    try {
      if (cancelled.has(id)) return;
      const result = await METHODS[method](body, {
        stopped: () => cancelled.has(id),
        frame: body.frames_wanted ? (...frame) => postMessage({ id, frame }) : null,
      });
      postMessage({ id, result });
    } catch (error) {
      postMessage({ id, error: oneLine(error) });
    } finally {
      cancelled.delete(id);
    }
  });
};

const METHODS = { open, sample, interpolate, read };

async function open({ url, runtime, threads, model: described }) {
  const [library, file] = await Promise.all([import(runtime), fetched(url)]);
  ort = library;
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = threads;
  session = await ort.InferenceSession.create(file, { executionProviders: ["wasm"], logSeverityLevel: 3 });
  model = described;
}

async function fetched(url) {
  const response = await fetch(url, { credentials: "same-origin" });
  if (!response.ok) throw new Error(`the model's file could not be fetched: ${response.status} ${response.statusText}`);
  return new Uint8Array(await response.arrayBuffer());
}

async function sample(request, job) {
  const start = performance.now();
  const images = await sampleImages(request, job);
  return { images, shape: [request.seed.length, ...model.shape], milliseconds: performance.now() - start };
}

/** The images, uint8 [N*H*W*C]. state: Float32Array [2, N, H, W, C] to start from in place of noise. */
async function sampleImages({ seed, index, label, guidance, plan, latent, state = null }, job) {
  const n = seed.length;
  const fixed = { seed: integers(seed), index: integers(index) };
  if (model.classes) fixed.label = integers(label ?? index.map((i) => (model.optional ? -1 : i % model.classes)));
  if (guidance !== null && guidance !== undefined) fixed.guidance = floats([guidance], []);
  if (latent) fixed.latent = floats(latent.flat(), [n, model.latent]);
  if (model.latent) return (await run(fixed)).images;
  const { table, rows } = plan;
  const height = Math.ceil(rows / SLICES);
  let [images, after] = [null, state];
  for (let row = 0; row < rows && !job.stopped(); row += height) {
    const end = Math.min(row + height, rows);
    const slice = floats(table.slice(row * COLUMNS, end * COLUMNS), [end - row, COLUMNS]);
    const given = after ? { state: floats(after, [2, n, ...model.shape]) } : {};
    ({ images, after } = await run({ ...fixed, plan: slice, ...given }));
    job.frame?.(end, rows, images);
    await messages();
  }
  if (after?.some(Number.isNaN)) throw new Error("the model gave NaN: its weights or the given plan have diverged");
  return images;
}

/** The outputs of an encoder or a classifier for images, each [H*W*C] bytes: a Float32Array of each. */
async function read({ images, label }) {
  const bytes = Uint8Array.from(images.flatMap((image) => [...image]));
  const feeds = { images: new ort.Tensor("uint8", bytes, [images.length, ...model.shape]) };
  if (session.inputNames.includes("label")) feeds.label = integers(label);
  const outputs = await session.run(feeds);
  return Object.fromEntries(Object.entries(outputs).map(([name, { data }]) => [name, data]));
}

/** Images between two, as POST /interpolate gives them. */
async function interpolate({ seed, index, label, frames, path, guidance, plan }, job) {
  const start = performance.now();
  const ends = model.latent ? codes(seed, index) : await noises(seed, index, label, guidance, plan);
  const points = Array.from({ length: frames }, (_, i) => PATHS[path](ends[0], ends[1], i / (frames - 1)));
  const labels = label && points.map((_, i) => label[i * 2 < frames ? 0 : 1]);
  const rest = { seed: points.map(() => 0), index: points.map(() => 0), label: labels, guidance, plan };
  const from = model.latent ? { latent: points.map((point) => [...point]) } : { state: joined(points) };
  const images = await sampleImages({ ...rest, ...from }, job);
  return { images, shape: [frames, ...model.shape], milliseconds: performance.now() - start };
}

const codes = (seed, index) => seed.map((one, i) => imageNoise(one, index[i], model.latent));

/** The noises of the two images: x of the state after a row that changes nothing. */
async function noises(seed, index, label, guidance, plan) {
  const noisy = plan && plan.table.some((value, i) => i % COLUMNS === NOISE && value !== 0);
  if (noisy) throw new Error("a walk takes a sampler that adds no noise, such as ddim with eta 0");
  const fixed = { seed: integers(seed), index: integers(index), plan: floats(STILL, [1, COLUMNS]) };
  if (model.classes) fixed.label = integers(label ?? index.map(() => -1));
  const { after } = await run(fixed);
  const size = model.shape.reduce((a, b) => a * b);
  return [after.slice(0, size), after.slice(size, 2 * size)];
}

/** [x of each, zeros]: a state that starts from these noises. */
function joined(points) {
  const state = new Float32Array(2 * points.length * points[0].length);
  points.forEach((point, i) => state.set(point, i * point.length));
  return state;
}

/** Runs the graph once; missing inputs default to no state, no latent and the model's guidance. */
async function run(given) {
  const defaults = {
    state: () => floats([], [2, 0, ...model.shape]),
    latent: () => floats([], [0, model.latent]),
    guidance: () => floats([model.guidance], []),
  };
  const feeds = Object.fromEntries(session.inputNames.map((name) => [name, given[name] ?? defaults[name]()]));
  for (const name of Object.keys(given)) if (!(name in feeds)) throw new Error(`this model takes no ${name}`);
  const outputs = await session.run(feeds);
  return { images: outputs.images.data, after: outputs.state_out?.data ?? null };
}

const integers = (values) => new ort.Tensor("int64", BigInt64Array.from(values, BigInt), [values.length]);
const floats = (values, dims) => new ort.Tensor("float32", Float32Array.from(values), dims);

/** Lets pending messages in, such as a cancellation, which a run of onnxruntime would block. */
const messages = () =>
  new Promise((done) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      done();
    };
    port2.postMessage(null);
  });

const oneLine = (error) => String(error?.message ?? error).split("\n")[0].slice(0, 300);
