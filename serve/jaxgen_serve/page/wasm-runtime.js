// Drawing on this device: onnxruntime's WebAssembly build runs a model's own .onnx file, which gives the same images
// as anywhere else. The work is done in a worker, so that the page never waits for it.

const RUNTIME = new URL("./ort/ort.js", import.meta.url);
const RUNTIME_FILES = new URL("./ort/files.json", import.meta.url); // says which there are: a missing file would log an error

// Threads need an isolated page; half the cores, as onnxruntime itself would choose: the other half may be hyperthreads.
const threads = () => (globalThis.crossOriginIsolated ? Math.min(4, Math.ceil((navigator.hardwareConcurrency || 1) / 2)) : 1);

// A static site's page says so by an empty base of the API. It works offline once its files are kept here.
if (document.querySelector('meta[name="jaxgen-api"]')?.content === "" && "serviceWorker" in navigator) {
  navigator.serviceWorker.register(new URL("./service-worker.js", import.meta.url)).catch(() => {}); // no HTTPS: online alone
}

/** Whether images can be drawn here: the browser can run it, and onnxruntime's files lie beside the page. */
export async function available() {
  if (typeof WebAssembly === "undefined" || typeof Worker === "undefined" || typeof BigInt64Array === "undefined") return false;
  try {
    const { files } = await (await fetch(RUNTIME_FILES)).json();
    return files.includes("ort.js");
  } catch {
    return false;
  }
}

/**
 * Loads a model: one of GET /models or site.json, with `url`, where its .onnx file is: one whose every input is required.
 *
 * draw({seed: [N], index: [N], label: [N] | null, guidance: number | null, plan: {rows, table: Float32Array},
 *       latent: [N][D] | null, onFrame(row, rows, images) | null, signal: AbortSignal | null})
 *   -> {images: Uint8Array [N*H*W*C], shape: [N, H, W, C], milliseconds}
 * interpolate({seed: [2], index: [2], label: [2] | null, frames, path: "spherical" | "linear", guidance, plan, signal})
 *   -> the same, an image a frame, both ends included.
 * plan is null for a model without plans alone; null otherwise is the model's own choice. `row` of onFrame counts the plan's rows that are done. Failures are Errors of
 * one line; an aborted call rejects with the signal's reason. close() ends the worker and whatever it is drawing.
 */
export async function open(model) {
  const worker = new Worker(new URL("./wasm-worker.js", import.meta.url), { type: "module" });
  const calls = new Map(); // id -> what to do with the answer
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
  worker.onerror = (event) => failAll(event.message || "the worker that draws on this device could not be started");

  const ask = (deed, { onFrame = null, signal = null, ...body }) =>
    new Promise((done, fail) => {
      signal?.throwIfAborted();
      const id = ++last;
      calls.set(id, { done, fail, onFrame });
      signal?.addEventListener("abort", () => {
        if (!calls.delete(id)) return;
        worker.postMessage({ id, deed: "cancel" });
        fail(signal.reason);
      });
      worker.postMessage({ id, deed, body: { ...body, frames_wanted: Boolean(onFrame) } });
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
  return { draw: (request) => ask("draw", request), interpolate: (request) => ask("interpolate", request), close };
}
