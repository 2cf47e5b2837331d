// The settings of a request: model, class, count, seed, sampler. Settings that a model lacks are hidden.

import { $, el, fillList, fillSegments, roving, setIcon } from "./dom.js";
import { MOST_SEED, isWrong, put, wholeNumber } from "./fields.js";
import { hasWords, number, onLanguage, samplerWords, t } from "./i18n.js";
import { COUNTS, change, newSeed, state, takesEta, watch } from "./state.js";

const MOST_BUTTONS = 20; // more classes are shown as a list

let settleClasses = () => {};

let picking = () => {};

/** sample(): called by a class's button and the main button; picked(): after the user has chosen a model. */
export function setUpControls(sample, picked) {
  picking = picked;
  $("model").addEventListener("change", (event) => pickModel(event.target.value));
  $("controls").addEventListener("submit", (event) => {
    event.preventDefault();
    sample();
  });
  setUpClasses(sample);
  setUpCounts();
  setUpSeed();
  setUpPlan();
  watch(show);
  onLanguage(() => show(new Set(["model", "count", "label", "locked"])));
}

export function showModels(models, refused) {
  fillList($("model"), models.map(({ name }) => [name, name]));
  const why = Object.entries(refused).map(([file, line]) => (line.startsWith(file) ? line : `${file}: ${line}`));
  $("refused").replaceChildren(...why.map((line) => el("p", { class: "detail", lang: "en" }, line)));
}

/** Chooses a model for the user. */
export function pickModel(name) {
  chooseModel(name);
  picking();
}

/** Makes a model the current one, with its default sampler, steps and guidance. */
export function chooseModel(name) {
  const model = state.models.find((one) => one.name === name) ?? state.models[0];
  const plan = model.plan;
  change({
    model,
    label: model.classes.length > (state.label ?? -1) ? state.label : null,
    sampler: plan?.sampler ?? null,
    steps: plan?.steps ?? null,
    eta: plan ? (plan.eta ?? 0) : null,
    guidance: model.guidance?.default ?? null,
  });
}

function setUpClasses(sample) {
  const columns = () => 5;
  settleClasses = roving($("classes"), "button", { columns });
  $("classes").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    change({ label: button.value === "" ? null : Number(button.value) });
    sample();
  });
  $("class-list").addEventListener("change", (event) => {
    change({ label: event.target.value === "" ? null : Number(event.target.value) });
  });
}

function setUpCounts() {
  fillSegments($("counts"), "count", COUNTS.map((n) => [n, String(n)]), state.count);
  $("counts").addEventListener("change", (event) => change({ count: Number(event.target.value) }));
  if (!COUNTS.includes(state.count)) change({ count: 5 });
}

function setUpSeed() {
  $("seed").addEventListener("input", () => {
    const seed = wholeNumber($("seed"), 0, MOST_SEED);
    if (seed !== null) change({ seed, locked: true, fresh: true });
  });
  $("seed").addEventListener("blur", () => isWrong($("seed")) || put($("seed"), state.seed));
  $("dice").addEventListener("click", () => change({ seed: newSeed(), fresh: true }));
  $("lock").addEventListener("click", () => change({ locked: !state.locked }));
}

function setUpPlan() {
  $("sampler").addEventListener("change", (event) => {
    const sampler = event.target.value;
    const { plan } = state.model;
    const { steps, eta } = plan.defaults[sampler];
    change({ sampler, steps: nearestStep(sampler, steps), eta: eta ?? 0 });
  });
  for (const id of ["steps-slide", "steps-list"]) {
    $(id).addEventListener("input", (event) => change({ steps: Number(event.target.value) }));
  }
  $("steps").addEventListener("input", () => {
    const steps = wholeNumber($("steps"), 1, state.model.plan.max_steps);
    if (steps !== null) change({ steps });
  });
  $("steps").addEventListener("blur", () => isWrong($("steps")) || put($("steps"), state.steps));
  $("eta").addEventListener("input", (event) => change({ eta: Number(event.target.value) }));
  $("guidance").addEventListener("input", (event) => change({ guidance: Number(event.target.value) }));
}

/** The nearest number of steps that a static site has a plan for, with this sampler. */
function nearestStep(sampler, steps) {
  const listed = Object.values(state.model.plans ?? {}).filter((plan) => plan.sampler === sampler);
  if (!listed.length) return steps;
  return listed.map((plan) => plan.steps).reduce((a, b) => (Math.abs(b - steps) < Math.abs(a - steps) ? b : a));
}

function show(changed) {
  const { model } = state;
  if (!model) return;
  if (changed.has("model")) showModel(model);
  if (changed.has("model") || changed.has("sampler")) showPlan(model);
  if ((changed.has("model") || changed.has("seed")) && document.activeElement !== $("seed")) put($("seed"), state.seed);
  if (changed.has("locked")) {
    $("lock").setAttribute("aria-pressed", state.locked);
    setIcon($("lock"), state.locked ? "lock" : "unlock");
    $("lock").title = t(state.locked ? "lock.on" : "lock.off");
  }
  for (const radio of $("counts").querySelectorAll("input")) radio.checked = Number(radio.value) === state.count;
  for (const button of $("classes").children) {
    button.setAttribute("aria-pressed", button.value === (state.label === null ? "" : String(state.label)));
  }
  $("class-list").value = state.label ?? "";
  $("classes-legend").textContent = state.count === 1 ? t("classes.one") : t("classes", { n: state.count });
  showValues(["model", "sampler", "steps"].some((key) => changed.has(key)));
}

/** newSteps: whether to overwrite the steps field; otherwise a wrong number stays as typed. */
function showValues(newSteps) {
  const { steps, eta, guidance } = state;
  for (const id of ["steps-slide", "steps-list"]) if (document.activeElement !== $(id)) $(id).value = steps ?? "";
  if (newSteps && document.activeElement !== $("steps")) put($("steps"), steps ?? "");
  $("eta").value = eta ?? 0;
  $("eta-text").textContent = number(eta ?? 0);
  $("guidance").value = guidance ?? 0;
  $("guidance-text").textContent = number(guidance ?? 0);
}

function showModel(model) {
  $("model").value = model.name;
  $("facts").replaceChildren(...factsOf(model));
  const many = model.classes.length > MOST_BUTTONS;
  $("classes-field").hidden = !model.classes.length;
  $("class-list").hidden = !many;
  $("classes").hidden = many;
  const any = model.label_optional ? t("any.none") : t("any");
  const button = (value, text) => el("button", { type: "button", value, "aria-pressed": "false" }, text);
  const digits = model.classes.map((name, n) => button(String(n), name));
  const first = button("", any);
  first.classList.add("any");
  $("classes").classList.toggle("words", model.classes.some((name) => name.length > 2));
  $("classes").replaceChildren(...(many ? [] : [...digits, first]));
  settleClasses();
  fillClasses($("class-list"), model, any);
}

/** Fills a list with a model's classes; `none`: the words for no class, null: a class must be chosen. */
export function fillClasses(list, model, none) {
  fillList(list, [...(none === null ? [] : [["", none]]), ...model.classes.map((name, n) => [n, name])]);
}

function factsOf(model) {
  const [height, width, channels] = model.shape;
  const facts = [
    hasWords(`family.${model.family}`) ? t(`family.${model.family}`) : null,
    `${width} × ${height}, ${t(channels === 1 ? "grey" : "colour")}`,
    model.classes.length ? t("facts.classes", { n: model.classes.length }) : null,
    el("a", { href: model.download, download: `${model.name}.onnx` }, t("models.file")),
    model.size_bytes ? `${number(model.size_bytes / 1e6, 2)} MB` : null,
    el("span", { title: model.sha256 }, `SHA-256 ${model.sha256.slice(0, 8)}…`),
  ];
  const spans = facts.filter(Boolean).map((fact) => (fact instanceof Element ? fact : el("span", {}, fact)));
  return model.untrained ? [el("span", { class: "mark-untrained" }, t("untrained")), ...spans] : spans;
}

function showPlan(model) {
  const { plan, guidance } = model;
  for (const id of ["sampler-row", "steps-row"]) $(id).hidden = !plan;
  $("eta-row").hidden = !takesEta(model, state.sampler);
  $("guidance-row").hidden = !guidance;
  $("guidance").max = Math.min(guidance?.max ?? 8, 8);
  if (!plan) return;
  const listed = Object.values(model.plans ?? {}).filter((one) => one.sampler === state.sampler);
  fillList($("sampler"), plan.samplers.map((name) => [name, samplerWords(name)]));
  $("sampler").value = state.sampler;
  $("steps-slide").max = $("steps").max = plan.max_steps;
  $("steps-slide").min = 1;
  for (const id of ["steps-slide", "steps"]) $(id).hidden = listed.length > 0;
  $("steps-list").hidden = !listed.length;
  fillList($("steps-list"), listed.map(({ steps }) => [steps, String(steps)]));
  if (listed.length) $("eta-row").hidden = true;
}
