// The By hand panel: a drawing or an upload that a model reconstructs, scores or inpaints.

import { $, announce, el, fillList, fillSegments, newest, picked } from "./dom.js";
import { fillClasses, pickModel } from "./controls.js";
import { enlargeable, saving } from "./enlarged.js";
import { easel } from "./drawing-canvas.js";
import { onLanguage, t } from "./i18n.js";
import { attempt, problem } from "./error-banner.js";
import { chosen, onStage, stage } from "./results.js";
import { newSeed, settings, state, watch } from "./state.js";

const TOOLS = ["pen", "eraser", "mask"];
const REGIONS = ["bottom", "top", "left", "right", "center", "painted"];
const VERSIONS = 3; // of an inpainted image
const PAUSE = 250; // milliseconds from the last stroke until it is read
const SHARES = 3; // classes whose probabilities are shown

const STROKES = { mnist: 20 / 28, digits: 1 }; // how much of an image a digit takes up in these datasets

const run = newest();
const reading = newest();
let backend = null;
let paper = null;
let result = null; // the model's newest result, kept to show it again in another language
let shares = null; // the probability of each class of the drawing, by its name
let own = false; // whether the user has chosen the class of the drawing

export function setUpHand(current) {
  backend = current;
  showLists();
  paper = easel({ tool: () => picked($("tools")), brush: () => Number($("brush").value), changed: onDrawn });
  $("undo").addEventListener("click", () => paper.undo());
  $("clear").addEventListener("click", () => paper.clear());
  $("centre").addEventListener("click", () => paper.centre(STROKES[state.model?.dataset]));
  $("upload").addEventListener("change", upload);
  $("from-stage").addEventListener("click", () => paper.put(chosen()[0].src, false));
  $("reconstruct").addEventListener("click", () => read("reconstruct"));
  $("anomaly").addEventListener("click", () => read("anomaly"));
  $("inpaint").addEventListener("click", inpaint);
  $("hand-class").addEventListener("change", () => (own = true));
  $("tools").addEventListener("change", (event) => event.target.value === "mask" && ($("region").value = "painted"));
  watch((changed) => {
    if (changed.has("model")) own = false;
    if (changed.has("model")) showModel();
    if (changed.has("label") && state.label !== null) $("hand-class").value = state.label;
  });
  onStage(showTools);
  onLanguage(() => {
    showLists();
    showModel();
    showFindings();
    showShares();
  });
  showTools();
}

async function upload(event) {
  const [file] = event.target.files;
  if (!file) return;
  const url = URL.createObjectURL(file);
  try {
    await paper.put(url, true);
    problem(null);
  } catch {
    problem(t("hand.unreadable", { name: file.name }));
  } finally {
    URL.revokeObjectURL(url);
    event.target.value = ""; // so that the same file can be chosen again
  }
}

let timer = 0;

function onDrawn() {
  showTools();
  clearTimeout(timer);
  timer = setTimeout(classify, PAUSE);
}

/** Shows which class a classifier reads in the drawing, and chooses it unless the user has. */
async function classify() {
  const { model } = state;
  reading.stop();
  if (paper.empty()) own = false;
  if (paper.empty() || !model?.classifier || !backend().reading) return showShares((shares = null));
  await attempt(async () => {
    const file = await paper.image(centring());
    await reading(async (signal) => {
      shares = await backend().reading.classify({ file, model: model.name }, signal);
      signal.throwIfAborted();
      const found = model.classes.indexOf(ranked()[0][0]);
      if (!own && found >= 0) $("hand-class").value = found;
      showShares();
    });
  });
}

const ranked = () => Object.entries(shares).sort(([, a], [, b]) => b - a);

function showShares() {
  $("hand-reads").hidden = !shares;
  if (!shares) return;
  const percent = (value) => new Intl.NumberFormat(document.documentElement.lang, { style: "percent" }).format(value);
  const words = ranked().slice(0, SHARES).map(([name, share]) => [name, percent(share), share]);
  const [[name, share]] = words;
  $("hand-reads").querySelector(".reads").textContent = t("hand.reads", { name, share });
  const bars = words.map(([one, , value]) => el("span", {}, one, el("meter", { value, "aria-hidden": "true" })));
  $("hand-reads").querySelector(".shares").replaceChildren(...bars);
  const said = words.map(([one, text]) => `${one}: ${text}`).join(", ");
  $("hand-reads").querySelector(".shares").setAttribute("aria-label", `${t("hand.reading")}. ${said}`);
}

/** The share of the image that a drawing takes up for models that only know centred digits; null: as it is drawn. */
const centring = () => (paper.rough() ? (STROKES[state.model.dataset] ?? null) : null);

async function read(what) {
  const centred = centring();
  await working(async (signal) => {
    const fields = { file: await paper.image(centred), model: state.model.name, label: chosenClass() };
    const answer = await backend().reading.read(what, fields, signal);
    result = { what, of: state.model.name, centred: centred !== null, ...answer };
  });
}

async function inpaint() {
  if ($("region").value === "painted" && !paper.masked()) return problem(t("hand.unpainted"));
  return working(async (signal) => {
    const { model, sampler, steps, guidance } = settings();
    const region = $("region").value;
    const place = region === "painted" ? { mask_file: await paper.mask() } : { mask: region };
    const seed = state.locked ? state.seed : newSeed();
    const chosenSettings = { model, label: chosenClass(), sampler, steps, guidance, seed, num_images: VERSIONS };
    const fields = { file: await paper.image(), ...chosenSettings, ...place };
    result = { what: "inpaint", of: model, images: await backend().reading.inpaint(fields, signal) };
  });
}

const chosenClass = () => (state.model.classes.length && $("hand-class").value !== "" ? $("hand-class").value : null);

async function working(work) {
  if (paper.empty()) return problem(t("hand.blank"));
  $("findings").setAttribute("aria-busy", "true");
  if (await attempt(() => run(work))) {
    problem(null);
    showFindings();
    announce(t("hand.done"));
  }
  $("findings").setAttribute("aria-busy", "false");
}

function showFindings() {
  if (!result) return $("findings").replaceChildren();
  const figure = (src, words, kind) => {
    const image = { src, words, name: `${result.of}-${kind}.png` };
    return el("figure", {}, enlargeable(image), el("figcaption", {}, words), saving(image));
  };
  if (result.what === "inpaint") {
    const images = result.images.map((src, i) => figure(src, t("image", { n: i + 1 }), `inpainted-${i + 1}`));
    return $("findings").replaceChildren(...images);
  }
  const images = [
    figure(result.original, t("hand.seen"), "seen"),
    figure(result.reconstruction, t("hand.rebuilt"), "reconstruction"),
  ];
  if (result.what === "anomaly") images.push(figure(result.heat, t("hand.heat"), "heat"));
  const centred = result.centred ? el("p", { class: "hint score" }, t("hand.centred")) : null;
  return $("findings").replaceChildren(...(result.what === "anomaly" ? [score()] : []), ...images, centred ?? "");
}

function score() {
  const [low, high] = result.usual;
  const parts = t("hand.parts", { reconstruction: result.reconstruction_nats, kl: result.kl });
  const why = el("details", {}, el("summary", {}, t("hand.why")), t("hand.words"));
  return el(
    "div",
    { class: "score" },
    el("strong", {}, t("hand.nats", { score: result.score })),
    el("p", { class: "usual" }, t("hand.usual", { low, high })),
    el("p", {}, `${parts} ${t("hand.meaning")}`),
    why,
  );
}

function showTools() {
  $("undo").disabled = !paper?.past();
  $("from-stage").disabled = !stage.images.length;
}

function showLists() {
  fillSegments($("tools"), "tool", TOOLS.map((name) => [name, t(`tool.${name}`)]), TOOLS[0]);
  fillList($("region"), REGIONS.map((name) => [name, t(`region.${name}`)]));
}

function showModel() {
  const { model } = state;
  if (!model) return;
  const able = handWork(model);
  $("hand-some").hidden = !Object.values(able).some(Boolean);
  $("hand-read").hidden = !able.read;
  $("anomaly").hidden = !able.score;
  $("hand-inpaint").hidden = !able.inpaint;
  $("tool-mask").hidden = !able.inpaint;
  const masking = $("tool-mask").querySelector("input").checked;
  if (!able.inpaint && masking) $("tool-pen").querySelector("input").checked = true;
  $("hand-class-row").hidden = !model.classes.length;
  fillClasses($("hand-class"), model, model.label_optional ? t("any.none") : null);
  if (result && result.of !== model.name) result = null;
  showFindings();
  if (paper) classify();
  const others = state.models.filter(canReadByHand);
  elsewhere("hand-none", canReadByHand(model), t("hand.unable", { name: model.name }), others);
}

/** What this page can do with a drawing and a model. */
function handWork({ encoder, plan, classifier }) {
  const reads = backend().reading;
  const [read, score] = [Boolean(reads && encoder), Boolean(reads?.scores && encoder)];
  return { read, score, inpaint: Boolean(reads?.inpaint && plan), classify: Boolean(reads && classifier) };
}

export const canReadByHand = (model) => Object.values(handWork(model)).some(Boolean);

/** Shows, in place of a panel that the model does not support, the reason and the models that do. */
export function elsewhere(id, able, why, others) {
  $(id).hidden = able;
  const choose = (name) => {
    pickModel(name);
    $("model").focus(); // the button is gone
  };
  const go = (name) => el("button", { type: "button", on: { click: () => choose(name) } }, name);
  $(id).replaceChildren(el("p", {}, why), el("div", { class: "pair" }, ...others.map(({ name }) => go(name))));
}
