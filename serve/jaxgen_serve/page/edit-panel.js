// The By hand panel: a drawing or an upload that a model reconstructs, scores or inpaints.

import { $, announce, el, fillList, fillSegments, newest, picked } from "./dom.js";
import { chooseModel, fillClasses } from "./controls.js";
import { easel } from "./drawing-canvas.js";
import { onLanguage, t } from "./i18n.js";
import { attempt, problem } from "./error-banner.js";
import { chosen, onStage, stage } from "./results.js";
import { newSeed, settings, state, watch } from "./state.js";

const TOOLS = ["pen", "eraser", "mask"];
const REGIONS = ["bottom", "top", "left", "right", "center", "painted"];
const VERSIONS = 3; // of an inpainted image

const STROKES = { mnist: 20 / 28, digits: 1 }; // how much of an image a digit takes up in these datasets

const run = newest();
let backend = null;
let paper = null;
let result = null; // the model's newest result, kept to show it again in another language

export function setUpHand(current) {
  backend = current;
  showLists();
  paper = easel({ tool: () => picked($("tools")), brush: () => Number($("brush").value), changed: showTools });
  $("undo").addEventListener("click", () => paper.undo());
  $("clear").addEventListener("click", () => paper.clear());
  $("centre").addEventListener("click", () => paper.centre(STROKES[state.model?.dataset]));
  $("upload").addEventListener("change", upload);
  $("from-stage").addEventListener("click", () => paper.put(chosen()[0].src, false));
  $("reconstruct").addEventListener("click", () => read("reconstruct"));
  $("anomaly").addEventListener("click", () => read("anomaly"));
  $("inpaint").addEventListener("click", inpaint);
  $("tools").addEventListener("change", (event) => event.target.value === "mask" && ($("region").value = "painted"));
  watch((changed) => {
    if (changed.has("model")) showModel();
    if (changed.has("label") && state.label !== null) $("hand-class").value = state.label;
  });
  onStage(showTools);
  onLanguage(() => {
    showLists();
    showModel();
    showFindings();
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

async function read(what) {
  const share = STROKES[state.model.dataset];
  if (share && paper.rough()) paper.centre(share); // these models only know centred digits; "Undo" reverts it
  await working(async (signal) => {
    const fields = { file: await paper.image(), model: state.model.name, label: chosenClass() };
    const answer = await backend().reading.read(what, fields, signal);
    result = { what, of: state.model.name, ...answer };
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
  const { png } = backend().reading;
  const figure = (src, words) =>
    el("figure", {}, el("img", { src, alt: words, class: "pixel" }), el("figcaption", {}, words));
  if (result.what === "inpaint") {
    return $("findings").replaceChildren(...result.images.map((src, i) => figure(src, t("image", { n: i + 1 }))));
  }
  const images = [figure(png(result.original), t("hand.seen")), figure(png(result.reconstruction), t("hand.rebuilt"))];
  if (result.what === "anomaly") images.push(figure(png(result.heat), t("hand.heat")));
  return $("findings").replaceChildren(...(result.what === "anomaly" ? [score()] : []), ...images);
}

function score() {
  const parts = t("hand.parts", { reconstruction: result.reconstruction_nats, kl: result.kl });
  const meaning = el("p", {}, `${parts} ${t("hand.meaning")}`);
  return el("div", { class: "score" }, el("strong", {}, t("hand.nats", { score: result.score })), meaning);
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
  const able = { read: Boolean(backend().reading && model.encoder), inpaint: Boolean(backend().reading && model.plan) };
  $("hand-some").hidden = !able.read && !able.inpaint;
  $("hand-read").hidden = !able.read;
  $("hand-inpaint").hidden = !able.inpaint;
  $("tool-mask").hidden = !able.inpaint;
  const masking = $("tool-mask").querySelector("input").checked;
  if (!able.inpaint && masking) $("tool-pen").querySelector("input").checked = true;
  $("hand-class-row").hidden = !model.classes.length;
  fillClasses($("hand-class"), model, model.label_optional ? t("any.none") : null);
  if (result && result.of !== model.name) result = null;
  showFindings();
  const others = state.models.filter((one) => one.encoder || one.plan);
  elsewhere("hand-none", able.read || able.inpaint, t("hand.unable", { name: model.name }), others);
}

/** Shows, in place of a panel that the model does not support, the reason and the models that do. */
export function elsewhere(id, able, why, others) {
  $(id).hidden = able;
  const choose = (name) => {
    chooseModel(name);
    $("model").focus(); // the button is gone
  };
  const go = (name) => el("button", { type: "button", on: { click: () => choose(name) } }, name);
  $(id).replaceChildren(el("p", {}, why), el("div", { class: "pair" }, ...others.map(({ name }) => go(name))));
}
