// The Blend panel: interpolates between two images.

import { $, announce, el, fillSegments, newest, picked, save } from "./dom.js";
import { walkName } from "./file-names.js";
import { onLanguage, t } from "./i18n.js";
import { player } from "./player.js";
import { attempt, problem } from "./error-banner.js";
import { fitOne } from "./results.js";
import { className, newSeed, settings, state, watch } from "./state.js";

const FRAMES = [8, 16, 32];
const PATHS = ["spherical", "linear"];
const STRIP = 12; // images in the strip below

const run = newest();
let backend = null;
let ends = []; // [{src, seed, index, label}], at most two
let request = null; // the settings they were sampled with
let walked = null; // the request of the frames
let frames = [];
let show = null;

export function setUpBlend(current) {
  backend = current;
  fillSegments($("blend-frames"), "frames", FRAMES.map((n) => [n, String(n)]), 16);
  show = player({ slider: $("blend-share"), button: $("blend-play"), show: showFrame });
  $("blend-controls").addEventListener("submit", (event) => {
    event.preventDefault();
    walk();
  });
  $("two-new").addEventListener("click", twoNew);
  $("swap").addEventListener("click", () => ends.length === 2 && setEnds([...ends].reverse(), request));
  $("blend-png").addEventListener("click", () => saveAs("grid", "png"));
  $("blend-gif").addEventListener("click", () => saveAs("gif", "gif"));
  new ResizeObserver(arrange).observe($("blend-stage"));
  watch((changed) => changed.has("model") && (run.stop(), setEnds([], null)));
  onLanguage(() => {
    showPaths();
    showEnds();
    showWork(run.busy());
  });
}

/** Interpolates at once between two images of the stage; used: their request. */
export function blend(images, used) {
  const { model, sampler, steps, guidance } = used;
  setEnds(images.map((image) => ({ ...image, seed: used.seed })), { model, sampler, steps, guidance });
  return walk();
}

export const togglePlay = () => frames.length && show.toggle();

/** Samples two new images of the chosen class, and interpolates between them. */
async function twoNew() {
  const { eta, label, ...chosen } = settings();
  const base = { ...chosen, count: 1, index: 0, label, eta, quick: state.model.quick };
  await working(async (signal) => {
    const images = [];
    for (let i = 0; i < 2; i++) {
      const seed = newSeed();
      const index = label === null && !state.model.label_optional ? i : 0; // two indices give two classes
      const answer = await backend().sample({ ...base, seed, index }, { signal });
      images.push({ ...answer.images[0], seed });
    }
    setEnds(images, chosen);
  });
  if (ends.length === 2) await walk();
}

async function walk() {
  if (ends.length < 2) return twoNew();
  await working(async (signal) => {
    const body = { ...request, frames: Number(picked($("blend-frames"))), path: picked($("blend-path")), ends };
    const sources = await backend().walk(body, { signal });
    if (!sources) throw new Error(t("blend.unable"));
    walked = body;
    setFrames(sources);
    announce(t("blend.ready", { n: sources.length }));
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) show.toggle();
  });
}

async function working(work) {
  showWork(true);
  if (await attempt(() => run(work))) problem(null);
  showWork(run.busy());
}

function showWork(busy) {
  $("blend-go").classList.toggle("working", busy);
  $("blend-go").textContent = t(busy ? "blend.working" : "blend.go");
  $("blend-stage").setAttribute("aria-busy", busy);
}

function setEnds(images, settingsUsed) {
  [ends, request] = [images, settingsUsed];
  setFrames([]);
  showEnds();
}

function setFrames(sources) {
  frames = sources;
  $("blend-image").hidden = $("blend-scrub").hidden = $("blend-actions").hidden = !frames.length;
  $("blend-empty").hidden = frames.length > 0;
  const every = (frames.length - 1) / (Math.min(STRIP, frames.length) - 1);
  const some = Array.from({ length: Math.min(STRIP, frames.length) }, (_, i) => frames[Math.round(i * every)]);
  $("blend-strip").replaceChildren(...some.map((src) => el("img", { src, alt: "", class: "pixel" })));
  if (frames.length) show.load(frames.length);
  else show.stop();
  arrange();
}

function showFrame(i) {
  $("blend-image").src = frames[i];
  const percent = new Intl.NumberFormat(document.documentElement.lang, { style: "percent" });
  const text = percent.format(i / (frames.length - 1));
  $("blend-image").alt = t("blend.at", { share: text });
  $("blend-text").textContent = text;
  $("blend-share").setAttribute("aria-valuetext", text);
}

function showEnds() {
  for (const i of [0, 1]) {
    const end = ends[i];
    $(`end-${i}`).replaceChildren(end ? el("img", { src: end.src, alt: "", class: "pixel" }) : "AB"[i]);
    const name = end ? className(state.model, end.label) : null;
    const seed = end && t("facts.seed", { seed: `${end.seed}${end.index ? ` / ${end.index}` : ""}` });
    $(`end-text-${i}`).textContent = end ? [name, seed].filter(Boolean).join(" · ") : t("blend.none");
  }
  $("swap").disabled = ends.length < 2;
}

function arrange() {
  if (!state.model || !frames.length) return;
  const room = { width: $("blend-stage").clientWidth - 40, height: $("blend-stage").clientHeight - 40 };
  fitOne($("blend-image"), state.model.shape, room);
}

const showPaths = () => fillSegments($("blend-path"), "path", PATHS.map((path) => [path, t(`path.${path}`)]), PATHS[0]);

async function saveAs(format, kind) {
  await attempt(async () => {
    const data = await backend().walkFile(format, { request: walked, model: state.model, frames });
    save(data, walkName(state.model, ends, kind), `image/${kind}`);
  });
}
