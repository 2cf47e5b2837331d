// Sampling on this device: onnxruntime's WebAssembly build runs a model's .onnx file, which gives the same images as
// anywhere else. It runs in a worker, so that the page never waits.

const RUNTIME = new URL("./ort/ort.js", import.meta.url);
const RUNTIME_FILES = new URL("./ort/files.json", import.meta.url); // asked first: a missing file would log an error

// Threads need an isolated page. Half the cores, as onnxruntime itself chooses: the other half may be hyperthreads.
const half = () => Math.ceil((navigator.hardwareConcurrency || 1) / 2);
const threads = () => (globalThis.crossOriginIsolated ? Math.min(4, half()) : 1);

// On a static site, whose API base is empty, the service worker caches the files for offline use.
if (document.querySelector('meta[name="jaxgen-api"]')?.content === "" && "serviceWorker" in navigator) {
  const script = new URL("./service-worker.js", import.meta.url);
  navigator.serviceWorker.register(script).catch(() => {}); // no HTTPS: works online only
}

/** Whether this device can sample: the browser supports it, and onnxruntime's files lie beside the page. */
export async function available() {
  if (["WebAssembly", "Worker", "BigInt64Array"].some((name) => !(name in globalThis))) return false;
  try {
    const { files } = await (await fetch(RUNTIME_FILES)).json();
    return files.includes("ort.js");
  } catch {
    return false;
  }
}

/**
 * Loads a model of GET /models or site.json; its `url`: an .onnx file whose inputs are all required.
 *
 * sample({seed: [N], index: [N], label: [N] | null, guidance: number | null, plan: {rows, table: Float32Array},
 *       latent: [N][D] | null, onFrame(row, rows, images) | null, signal: AbortSignal | null})
 *   -> {images: Uint8Array [N*H*W*C], shape: [N, H, W, C], milliseconds}
 * interpolate({seed: [2], index: [2], label: [2] | null, frames, path: "spherical" | "linear", guidance, plan, signal})
 *   -> the same, one image per frame, both ends included.
 * read({images: [Uint8Array [H*W*C]], label: [N] | null, signal}), of an encoder or a classifier -> its outputs.
 * plan is null only for a model without plans; any other null means the model's default. `row` of onFrame is the number
 * of finished rows of the plan. Failures are Errors of one line; an aborted call rejects with the signal's reason.
 * close() ends the worker and its running call.
 */
export async function open(model) {
  const worker = new Worker(new URL("./wasm-worker.js", import.meta.url), { type: "module" });
  const calls = new Map(); // id -> handlers of the answer
  let last = 0;

  worker.onmessage = ({ data: { id, frame, result, error } }) => {
    const call = calls.get(id);
    if (!call) return; // aborted meanwhile
    if (frame) return void call.onFrame?.(...frame);
    calls.delete(id);
    if (error) call.fail(new Error(error));
    else call.done(result);
  };
  const failAll = (line) => {
    for (const { fail } of calls.values()) fail(new Error(line));
    calls.clear();
  };
  worker.onerror = (event) => failAll(event.message || "the worker that samples on this device could not be started");

  const ask = (method, { onFrame = null, signal = null, ...body }) =>
    new Promise((done, fail) => {
      signal?.throwIfAborted();
      const id = ++last;
      calls.set(id, { done, fail, onFrame });
      signal?.addEventListener("abort", () => {
        if (!calls.delete(id)) return;
        worker.postMessage({ id, method: "cancel" });
        fail(signal.reason);
      });
      worker.postMessage({ id, method, body: { ...body, frames_wanted: Boolean(onFrame) } });
    });

  const close = () => {
    worker.terminate();
    failAll("closed");
  };
  const { shape, classes, label_optional: optional, latent, guidance } = model;
  try {
    const described = { shape, classes: classes.length, optional, latent, guidance: guidance?.default };
    await ask("open", { url: model.url, runtime: RUNTIME.href, threads: threads(), model: described });
  } catch (error) {
    close();
    throw error;
  }
  const asking = (method) => (request) => ask(method, request);
  return { sample: asking("sample"), interpolate: asking("interpolate"), read: asking("read"), close };
}
