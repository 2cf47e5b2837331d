// The page's address holds its settings, so that a reload keeps them and a link opens them.

import { COUNTS, state, watch } from "./state.js";
import { MOST_SEED } from "./fields.js";

const WAIT = 250; // milliseconds after a change: browsers refuse an address that changes too often

/** The query of settings: those of the page, or of a finished request. `label`: a class's number. */
export function queryOf(model, { label = null, count, seed, index, sampler, steps, eta, guidance }) {
  const name = label === null || label === -1 ? null : (model.classes[label] ?? label);
  const values = { model: model.name, label: name, count, seed, index: index || null, sampler, steps, eta, guidance };
  const given = Object.entries(values).filter(([, value]) => value !== null && value !== undefined);
  return new URLSearchParams(given.map(([key, value]) => [key, String(value)]));
}

/** The settings of the page's address that `model` can have; what is missing or invalid is left out. */
export function fromAddress(model) {
  const query = new URLSearchParams(location.search);
  const found = {};
  if ((query.get("model") ?? model.name) !== model.name) return found;
  const take = (key, least, most, whole = true) => {
    const value = query.has(key) && query.get(key) !== "" ? Number(query.get(key)) : NaN;
    if (value >= least && value <= most && (!whole || Number.isInteger(value))) found[key] = value;
  };
  take("seed", 0, MOST_SEED);
  if ("seed" in found) found.fresh = true;
  take("index", 0, MOST_SEED);
  take("count", 1, COUNTS.at(-1));
  if (!COUNTS.includes(found.count)) delete found.count;
  if (query.has("label")) {
    const [name, number] = [model.classes.indexOf(query.get("label")), Number(query.get("label"))];
    if (name >= 0) found.label = name;
    else if (Number.isInteger(number) && number >= 0 && number < model.classes.length) found.label = number;
  }
  if (model.plan?.samplers.includes(query.get("sampler"))) found.sampler = query.get("sampler");
  if (model.plan) take("steps", 1, model.plan.max_steps);
  if (model.plan) take("eta", 0, 1, false);
  if (model.guidance) take("guidance", 0, model.guidance.max, false);
  return found;
}

/** Keeps the address up to date from now on. */
export function keepAddress() {
  let timer = 0;
  watch(() => {
    clearTimeout(timer);
    timer = setTimeout(write, WAIT);
  });
}

function write() {
  if (state.model) history.replaceState(null, "", `?${queryOf(state.model, state)}${location.hash}`);
}
