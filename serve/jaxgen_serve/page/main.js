// The page's entry: loads texts and models, and sets up the panels and shortcuts.

import * as blending from "./interpolate-panel.js";
import { fromAddress, keepAddress } from "./address.js";
import { chooseModel, pickModel, setUpControls, showModels } from "./controls.js";
import { setUpCopying } from "./copy-menu.js";
import { $, announce, toast } from "./dom.js";
import { ready } from "./fields.js";
import { openGallery, setUpGallery } from "./gallery-panel.js";
import { canReadByHand, setUpHand } from "./edit-panel.js";
import { setUpEnlarging } from "./enlarged.js";
import { browserLanguage, loadWords, setLanguage, t } from "./i18n.js";
import { localAvailable, localSampling, siteBackend } from "./local-backend.js";
import { hasMap, openMap, setUpMap } from "./latent-map-panel.js";
import { goTo, setUpPanels } from "./panels.js";
import { explain, problem } from "./error-banner.js";
import { serverBackend } from "./server-backend.js";
import { setUpShortcuts } from "./shortcuts.js";
import { chosen, setUpStage, stage, togglePlay } from "./results.js";
import { change, newSeed, restore, state, watch } from "./state.js";
import { keep, sample, setUpGenerate, stopSampling } from "./generate-panel.js";

const POLL = 3000; // milliseconds between two looks at a server's models
const FEW = 5; // first images of a model with a plan
const SECOND = 40_000; // pixels times evaluations that take about a second on two cores

let backend = null; // the server's, or the static site's
let here = null; // the same, but sampling on this device

/** The backend that the device switch selects. */
const current = () => (state.device && here ? here : backend);

async function start() {
  await loadWords();
  restore();
  setUpTheme();
  $("language").addEventListener("change", (event) => change({ language: event.target.value }));
  watch((changed) => changed.has("language") && setLanguage(state.language));
  const base = document.querySelector('meta[name="jaxgen-api"]').content;
  backend = base ? serverBackend(base, logIn) : await siteBackend();
  setUpGallery(current, resample, () => goTo("generate"));
  setUpPanels({
    hand: { there: () => !state.models.length || !backend.static || state.models.some(canReadByHand) },
    map: { there: () => !state.models.length || state.models.some(hasMap), open: openMap },
    gallery: { there: () => backend.gallery, open: openGallery },
    generate: { open: sampleAtOnce },
  });
  for (const setUp of [setUpStage, setUpGenerate, blending.setUpBlend, setUpHand, setUpMap]) setUp(current, readModels);
  setUpControls(sampleIfValid, sampleAtOnce);
  setUpCopying(backend);
  setUpEnlarging();
  for (const field of document.querySelectorAll(".add-model input")) field.addEventListener("change", addModel);
  $("docs").hidden = backend.static;
  $("to-blend").addEventListener("click", blendSelected);
  setUpShortcuts(ACTIONS, sampleClass);
  const language = state.language ?? browserLanguage();
  $("language").value = language;
  setLanguage(language);
  await openModels();
}

async function openModels() {
  change({ seed: newSeed() });
  await firstModel(new URLSearchParams(location.search).get("model"));
  change(fromAddress(state.model));
  keepAddress();
  await offerDevice();
  await sampleAtOnce();
  if (!backend.static) await keepReading();
}

/** Samples if the stage is free and that takes about a second. */
async function sampleAtOnce() {
  if (!state.model || stage.request || stage.used) return;
  if (state.model.quick) await sample();
  else if (!backend.static && !$("panel-generate").hidden && small(state.model)) {
    await sample({ count: state.fresh ? state.count : Math.min(FEW, state.count) }); // a link's are all wanted
  }
}

/** Looks for added and changed models from now on, while the page is seen. */
async function keepReading() {
  for (;;) {
    await new Promise((done) => setTimeout(done, POLL));
    if (!document.hidden) await readModels().catch(() => {}); // whoever acts is told
  }
}

/** Waits until there is a model: a server may start before its models are there, and a page before its server. */
async function firstModel(wanted, failed = false) {
  try {
    await readModels(wanted);
    if (failed) problem(null);
    failed = false;
  } catch (error) {
    if (!failed) problem(error);
    failed = true;
  }
  if (state.model) return;
  await new Promise((done) => setTimeout(done, POLL));
  await firstModel(wanted, failed);
}

/** Whether a few images take about a second. */
function small({ shape: [height, width], plan, guidance }) {
  return height * width * plan.steps * (guidance ? 2 : 1) <= SECOND;
}

/** Reads the list of models again. A model whose file is the same stays the same object, and keeps its settings. */
async function readModels(wanted = null) {
  const { models: read, refused, uploads = false } = await backend.models();
  const old = (one) => state.models.find(({ name, sha256 }) => name === one.name && sha256 === one.sha256);
  const models = read.map((one) => Object.assign(old(one) ?? {}, one));
  const before = state.known ? state.models : [];
  const same = models.length === before.length && models.every((one, i) => one === before[i]);
  change({ uploads, known: true });
  if (!same && models.length) change({ models });
  if (!same || !models.length) showModels(state.models, refused); // a list that is open stays open
  if (state.models.length && !state.models.includes(state.model)) chooseModel(state.model?.name ?? wanted);
}

async function addModel(event) {
  const [file] = event.target.files;
  if (!file) return;
  const words = event.target.parentElement.querySelector("span");
  words.textContent = t("models.checking");
  event.target.disabled = true;
  try {
    const { name } = await backend.upload(file);
    await readModels();
    pickModel(name);
    problem(null);
    toast(t("models.added", { name }));
  } catch (error) {
    problem(error);
  } finally {
    words.textContent = t("models.add");
    event.target.disabled = false;
    event.target.value = "";
  }
}

/** Offers the device switch if there is a server; a static site always samples on this device. */
async function offerDevice() {
  const able = await localAvailable();
  if (backend.static) {
    if (!able) problem(t("device.missing"));
    return;
  }
  $("device").disabled = !able;
  $("device-line").dataset.tTip = able ? "device" : "device.how";
  $("device-line").title = t($("device-line").dataset.tTip);
  change({ asked: true });
  if (!able) return;
  const { reading, ...sampling } = localSampling(() => state.models, backend.plan);
  const read = (what, ...rest) => (what === "reconstruct" ? reading : backend.reading).read(what, ...rest);
  here = { ...backend, ...sampling, reading: { ...backend.reading, classify: reading.classify, read } };
  $("device").addEventListener("change", (event) => change({ device: event.target.checked }));
}

function blendSelected() {
  if (stage.selected.size !== 2) return;
  goTo("blend");
  blending.blend(chosen(), stage.used);
}

/** Samples again with the settings of a gallery row, on the Generate panel. */
async function resample(row, more) {
  if (!state.models.some(({ name }) => name === row.model)) return problem(t("gallery.gone", { name: row.model }));
  chooseModel(row.model);
  const { label, sampler, steps, eta, guidance } = row;
  change({ label, sampler, steps, eta, guidance, seed: more.seed });
  goTo("generate");
  return sample(more);
}

/** Samples, unless a field is invalid. */
const sampleIfValid = (more) => ready($("controls")) && sample(more);

function sampleClass(n) {
  if ($("panel-generate").hidden || !state.model || n >= state.model.classes.length) return;
  change({ label: n });
  sampleIfValid();
}

const onGeneratePanel = (action) => () => $("panel-generate").hidden || action();
const ACTIONS = {
  a: onGeneratePanel(() => {
    change({ label: null });
    sampleIfValid();
  }),
  d: onGeneratePanel(() => sampleIfValid()),
  r: onGeneratePanel(() => sampleIfValid({ seed: rolled() })),
  l: onGeneratePanel(() => change({ locked: !state.locked })),
  k: onGeneratePanel(keep),
  " ": () => ($("panel-blend").hidden ? togglePlay() : blending.togglePlay()),
  p: () => goTo("generate"),
  b: () => (stage.selected.size === 2 && !$("panel-generate").hidden ? blendSelected() : goTo("blend")),
  h: () => goTo("hand"),
  m: () => goTo("map"),
  g: () => goTo("gallery"),
  t: () => $("theme").click(),
  "?": () => $("help").click(),
  Escape: stopSampling,
};

function rolled() {
  change({ seed: newSeed() });
  return state.seed;
}

function setUpTheme() {
  const dark = () => (state.theme ? state.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
  $("theme").addEventListener("click", () => {
    change({ theme: dark() ? "light" : "dark" });
    announce(t(`theme.${state.theme}`));
  });
  watch((changed) => changed.has("theme") && (document.documentElement.dataset.theme = state.theme));
}

let loggingIn = null;

/** Asks for the server's token until it is right; requests that need it share one dialog. */
function logIn() {
  loggingIn ??= askForToken().finally(() => (loggingIn = null));
  return loggingIn;
}

function askForToken() {
  $("login-box").showModal();
  return new Promise((done) => {
    $("login-box").oncancel = (event) => event.preventDefault();
    $("login-form").onsubmit = async (event) => {
      event.preventDefault();
      try {
        await backend.logIn($("token").value);
        $("token").value = "";
        $("login-box").close();
        done();
      } catch (error) {
        explain($("login-problem"), error);
      }
    };
  });
}

start().catch(problem);
