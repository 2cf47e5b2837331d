// How to get the images of the stage elsewhere: as a command line, with curl, in Python.

const plain = (text) => `'${String(text).replaceAll("'", "'\\''")}'`; // for a shell
const python = (value) => (value === null ? "None" : JSON.stringify(value));

/** used: the settings of a finished request; images: some of its images; file: the address of its model's file. */
export function commandOf(used, images, file) {
  const model = plain(`${used.model}.onnx`);
  const follow = images.every(({ index }, i) => index === images[0].index + i);
  const parts = follow ? [images] : images.map((image) => [image]); // a command takes images that follow one another
  const lines = parts.map((some) => {
    const [{ index, label }] = some;
    const chosen = some.every((image) => image.label === label) ? classOf(some[0]) : "all";
    const options = given({ seed: used.seed, first: index || null, label: chosen, ...planOf(used) });
    const said = options.map(([key, value]) => ` --${key} ${key === "label" ? plain(value) : value}`).join("");
    return `jaxgen sample ${model} -n ${some.length}${said} -o ${follow ? "images" : `image-${index}`}.png\n`;
  });
  return `curl -o ${model} ${plain(file)}\n${lines.join("")}`;
}

/** api: the address of the server. */
export function curlOf(used, images, api) {
  const { model, sha256, seed } = used;
  if (images.length === 1) {
    const [{ index }] = images;
    const query = new URLSearchParams(given({ label: classOf(images[0]), ...planOf(used), sha256 }));
    const address = new URL(`images/${encodeURIComponent(model)}/${seed}/${index}.png?${query}`, api);
    return `curl -o ${plain(`${model}.png`)} ${plain(address)}\n`;
  }
  const { label } = used;
  const indices = images.map(({ index }) => index);
  const body = JSON.stringify(Object.fromEntries(given({ model, sha256, seed, indices, label, ...planOf(used) })));
  const address = plain(new URL("generate-batch?format=zip", api));
  return `curl -o ${plain(`${model}.zip`)} ${address} -H 'Content-Type: application/json' -d ${plain(body)}\n`;
}

/** classes: the number of the model's classes. */
export function pythonOf(used, images, file, classes) {
  const labels = classes ? `, label=[${images.map(({ label }) => label ?? -1).join(", ")}]` : "";
  const { sampler, steps, eta, guidance } = planOf(used);
  const spec = `sampler=${python(sampler)}, steps=${steps}, eta=${python(eta ?? null)}`;
  const plan = sampler ? `, plan=model.plan(${spec})` : "";
  const pull = guidance === undefined || guidance === null ? "" : `, guidance=${guidance}`;
  const index = `[${images.map((image) => image.index).join(", ")}]`;
  return `from urllib.request import urlretrieve

from jaxgen import Model

urlretrieve(${python(file)}, ${python(`${used.model}.onnx`)})
model = Model.open(${python(`${used.model}.onnx`)})
images, _ = model.sample([${used.seed}] * ${images.length}, ${index}${labels}${plan}${pull})  # uint8 [N, H, W, C]
`;
}

// A name that is a number may be the number of another class.
const classOf = ({ label, class_name: name }) => (/^\d+$/.test(name) && Number(name) !== label ? `#${label}` : (name ?? null));
const planOf = ({ sampler, steps, eta, guidance }) => ({ sampler, steps, eta, guidance });
const given = (values) => Object.entries(values).filter(([, value]) => value !== null && value !== undefined);
