// node worker.mjs PACKAGE MODEL FEEDS.json OUTPUT RESULT: what worker.py is, for onnxruntime-node and onnxruntime-web.

import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [name, model, feedsPath, output, resultPath] = process.argv.slice(2);
const ort = createRequire(`${process.cwd()}/`)(name);
const TYPES = { int64: (values) => BigInt64Array.from(values, BigInt), float32: (values) => Float32Array.from(values) };

async function load() {
  if (ort.env?.wasm) ort.env.wasm.numThreads = 1;
  const session = await ort.InferenceSession.create(readFileSync(model), { intraOpNumThreads: 1, logSeverityLevel: 4 });
  const feeds = {};
  for (const [input, { type, dims, data }] of Object.entries(JSON.parse(readFileSync(feedsPath)))) {
    feeds[input] = new ort.Tensor(type, TYPES[type](data), dims);
  }
  return async () => (await session.run(feeds, [output]))[output].data;
}

try {
  const run = await load();
  const [images, again] = [Buffer.from(await run()), Buffer.from(await run())];
  writeFileSync(resultPath, images);
  console.log(images.equals(again) ? "ready" : "unsteady");
  for await (const _ of createInterface({ input: process.stdin })) {
    const begin = performance.now();
    await run();
    console.log((performance.now() - begin) / 1000);
  }
} catch (error) {
  console.log(`error ${String(error?.message ?? error).split(/\s+/).join(" ")}`);
  process.exitCode = 1;
}
