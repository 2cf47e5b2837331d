// The page's state in one object, with watchers for its changes.

export const COUNTS = [1, 4, 5, 16, 64]; // of images
const REMEMBERED = ["count", "locked", "theme", "language", "keys"];

export const state = {
  models: [],
  known: false, // whether the list of models has been read
  uploads: false, // whether the server takes model files
  model: null, // one of models, as GET /models describes it
  label: null, // a class's number; null: any
  count: 5,
  seed: 0,
  index: 0, // of the next request's first image
  fresh: false, // whether the seed was chosen and has not been used yet: the next request keeps it
  locked: false, // whether the next request keeps the seed
  sampler: null,
  steps: null,
  eta: null,
  guidance: null,
  asked: false, // whether it is known if this device can sample in place of the server
  device: false, // whether it does
  keys: true, // whether single keys are shortcuts
  theme: null, // "light" or "dark"; null: the system's
  language: null,
};

const watchers = new Set();

/** Calls `watcher(changed keys)` after every change. */
export function watch(watcher) {
  watchers.add(watcher);
}

export function change(patch) {
  const changed = new Set(Object.keys(patch).filter((key) => state[key] !== patch[key]));
  if (!changed.size) return;
  Object.assign(state, patch);
  for (const key of REMEMBERED) if (changed.has(key)) remember(key);
  for (const watcher of watchers) watcher(changed);
}

/** Restores the choices of an earlier visit. */
export function restore() {
  for (const key of REMEMBERED) {
    try {
      const value = JSON.parse(localStorage.getItem(`jaxgen.${key}`));
      if (value !== null && (state[key] === null || typeof value === typeof state[key])) state[key] = value;
    } catch {
      // Storage is forbidden or holds something else: keep the default.
    }
  }
}

function remember(key) {
  try {
    localStorage.setItem(`jaxgen.${key}`, JSON.stringify(state[key]));
  } catch {
    // As above.
  }
}

export const newSeed = () => crypto.getRandomValues(new Uint32Array(1))[0];

/** Whether eta changes the images of this sampler. */
export const takesEta = (model, sampler) => typeof model.plan?.defaults[sampler]?.eta === "number";

/** The settings of a request: those that the chosen model has. */
export function settings() {
  const { model, label, sampler, steps, eta, guidance } = state;
  return {
    model: model.name,
    label: model.classes.length ? label : null,
    ...(model.plan ? { sampler, steps, eta: takesEta(model, sampler) ? eta : null } : {}),
    ...(model.guidance ? { guidance } : {}),
  };
}

/** The name of a class; null: no class. */
export const className = (model, label) =>
  label === null || label < 0 ? null : (model.classes[label] ?? String(label));
