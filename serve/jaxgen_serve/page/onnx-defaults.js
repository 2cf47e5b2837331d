// The .onnx file's inputs with a default (plan, guidance, state, latent) are initialisers that may be overridden, and
// onnxruntime-web has no way to override one. Taken out of the graph, they are inputs like any other.

const GRAPH = 7; // of ModelProto
const [INITIALIZER, INPUT] = [5, 11]; // of GraphProto
const [DIMS, DATA_TYPE, FLOAT_DATA, TENSOR_NAME, RAW_DATA] = [1, 2, 4, 8, 9]; // of TensorProto
const VALUE_NAME = 1; // of ValueInfoProto
const FLOAT = 1; // the data type
const [VARINT, FIXED_64, BYTES, FIXED_32] = [0, 1, 2, 5]; // protobuf's wire types

/** bytes: of an .onnx file -> {bytes, defaults: {name: {dims, data: Float32Array}}}, without the defaults. */
export function withoutDefaults(bytes) {
  const model = [...fields(bytes)];
  const graph = model.find(({ number }) => number === GRAPH);
  if (!graph) throw new Error("the model's file is damaged: it has no graph");
  const parts = [...fields(graph.value)];
  const inputs = new Set(parts.filter(({ number }) => number === INPUT).map(({ value }) => textOf(value, VALUE_NAME)));
  const defaults = {};
  const kept = [];
  for (const part of parts) {
    const name = part.number === INITIALIZER ? textOf(part.value, TENSOR_NAME) : null;
    if (name !== null && inputs.has(name)) defaults[name] = floats(part.value);
    else kept.push(part.whole);
  }
  const size = kept.reduce((sum, { length }) => sum + length, 0);
  const out = model.flatMap((field) => (field === graph ? [varint((GRAPH << 3) | BYTES), varint(size), ...kept] : [field.whole]));
  return { bytes: new Uint8Array(joined(out)), defaults };
}

/** The fields of a protobuf message: {number, value: bytes or a number, whole: the bytes with their tag}. */
function* fields(bytes) {
  for (let at = 0; at < bytes.length; ) {
    const start = at;
    const next = () => {
      let value = 0;
      for (let scale = 1; ; scale *= 128) {
        if (at >= bytes.length || scale > 2 ** 63) throw new Error("the model's file is damaged");
        const byte = bytes[at++];
        value += (byte & 127) * scale;
        if (byte < 128) return value;
      }
    };
    const tag = next();
    const wire = tag & 7;
    const value = wire === VARINT || wire === BYTES ? next() : 0;
    const length = { [VARINT]: 0, [BYTES]: value, [FIXED_64]: 8, [FIXED_32]: 4 }[wire];
    if (length === undefined || at + length > bytes.length) throw new Error("the model's file is damaged");
    at += length;
    const inside = wire === VARINT ? value : bytes.subarray(at - length, at);
    yield { number: Math.floor(tag / 8), value: inside, whole: bytes.subarray(start, at) };
  }
}

function textOf(message, number) {
  const field = [...fields(message)].find((one) => one.number === number);
  return field ? new TextDecoder().decode(field.value) : "";
}

/** A TensorProto of float32. */
function floats(message) {
  const tensor = [...fields(message)];
  const dims = tensor.filter(({ number }) => number === DIMS).flatMap(({ value }) => (typeof value === "number" ? [value] : packed(value)));
  const type = tensor.find(({ number }) => number === DATA_TYPE)?.value;
  if (type !== FLOAT) throw new Error(`expected float32 inputs with a default, got ONNX's data type ${type}`);
  const stored = tensor.filter(({ number }) => number === RAW_DATA || number === FLOAT_DATA).map(({ value }) => value);
  return { dims, data: new Float32Array(joined(stored)) };
}

/** The numbers of a packed repeated field. */
function packed(bytes) {
  const values = [];
  for (let at = 0, value = 0, scale = 1; at < bytes.length; at++) {
    value += (bytes[at] & 127) * scale;
    scale *= 128;
    if (bytes[at] < 128) {
      values.push(value);
      [value, scale] = [0, 1];
    }
  }
  return values;
}

function varint(value) {
  const bytes = [];
  for (; value >= 128; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
  return Uint8Array.from([...bytes, value]);
}

function joined(parts) {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all.buffer;
}
