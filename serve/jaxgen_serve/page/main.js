// The page from the start: words, models, panels; then whoever uses it takes over.

import { openGallery, setUpGallery } from "./gallery.js";
import * as blending from "./blend.js";
import { chooseModel, setUpControls, showModels } from "./controls.js";
import { $, announce, endNews, problem, roving } from "./dom.js";
import { setUpHand } from "./hand.js";
import { browserLanguage, loadWords, setLanguage, t } from "./i18n.js";
import { localAvailable, localDrawing, siteBackend } from "./local.js";
import { openMap, setUpMap } from "./map.js";
import { serverBackend } from "./server.js";
import { setUpShortcuts } from "./shortcuts.js";
import { chosen, setUpStage, stage, togglePlay } from "./stage.js";
import { change, newSeed, restore, state, watch } from "./state.js";
import { draw, keep, setUpStudio, stopDrawing } from "./studio.js";

const PANELS = ["draw", "blend", "hand", "map", "gallery"];
const OPENED = { map: openMap, gallery: openGallery };
const FEW = 5; // pictures that a model with a plan draws at first
const SECOND = 40_000; // pixels times evaluations that take about a second for so many, on two cores

let backend = null; // the server's, or the static site's
let here = null; // the same, but drawing on this device

/** Whichever the switch says. */
const current = () => (state.device && here ? here : backend);

async function start() {
  await loadWords();
  restore();
  setUpTheme();
  $("language").addEventListener("change", (event) => change({ language: event.target.value }));
  watch((changed) => changed.has("language") && setLanguage(state.language));
  const base = document.querySelector('meta[name="jaxgen-api"]').content;
  backend = base ? serverBackend(base, logIn) : await siteBackend();
  for (const setUp of [setUpStage, setUpStudio, blending.setUpBlend, setUpHand, setUpMap]) setUp(current, readModels);
  setUpControls(draw);
  setUpGallery(current, redraw);
  setUpPanels();
  $("to-blend").addEventListener("click", blendSelected);
  setUpShortcuts(DEEDS, drawDigit);
  const language = state.language ?? browserLanguage();
  $("language").value = language;
  setLanguage(language);
  await openModels();
}

async function openModels() {
  const { models, refused } = await backend.models();
  change({ models, seed: newSeed() });
  showModels(models, refused);
  if (!models.length) return;
  const wanted = new URLSearchParams(location.search).get("model");
  chooseModel(wanted ?? models[0].name);
  await offerDevice();
  if (state.model.quick) await draw();
  else if (!backend.static && !$("panel-draw").hidden && small(state.model)) await draw({ count: Math.min(FEW, state.count) });
}

/** Whether a few pictures are there in about a second. */
function small({ shape: [height, width], plan, guidance }) {
  return height * width * plan.steps * (guidance ? 2 : 1) <= SECOND;
}

/** Once more: a file has changed. */
async function readModels() {
  const { models, refused } = await backend.models();
  change({ models });
  showModels(models, refused);
  if (models.length) chooseModel(state.model.name);
}

/** A switch where there is a server; a static site has no choice. */
async function offerDevice() {
  const able = await localAvailable();
  if (backend.static) {
    if (!able) problem(t("device.missing"));
    return;
  }
  if (!able) return;
  here = { ...backend, ...localDrawing(() => state.models, backend.plan) };
  $("device-line").hidden = false;
  $("device").addEventListener("change", (event) => change({ device: event.target.checked }));
}

function setUpPanels() {
  for (const name of PANELS) $(`tab-${name}`).addEventListener("click", () => showPanel(name));
  const settle = roving($("tabs"), "[role=tab]", { follow: (tab) => tab.click() });
  $("tab-gallery").hidden = !backend.gallery;
  $("tab-hand").hidden = !backend.reading;
  showPanel(PANELS.find((name) => `#${name}` === location.hash) ?? "draw");
  settle($("tabs").querySelector("[aria-selected=true]"));
}

function showPanel(name) {
  for (const one of PANELS) {
    $(`panel-${one}`).hidden = one !== name;
    $(`tab-${one}`).setAttribute("aria-selected", one === name);
    $(`tab-${one}`).tabIndex = one === name ? 0 : -1;
  }
  $("which").hidden = name === "gallery";
  problem(null);
  endNews();
  history.replaceState(null, "", `#${name}`);
  if (state.model) OPENED[name]?.();
}

function blendSelected() {
  if (stage.selected.size !== 2) return;
  showPanel("blend");
  $("tab-blend").focus();
  blending.blend(chosen(), stage.used);
}

/** From the gallery: with a row's settings, on the Draw panel. */
async function redraw(row, more) {
  if (!state.models.some(({ name }) => name === row.model)) return problem(t("gallery.gone", { name: row.model }));
  chooseModel(row.model);
  const { label, sampler, steps, eta, guidance } = row;
  change({ label, sampler, steps, eta, guidance, seed: more.seed });
  showPanel("draw");
  $("tab-draw").focus();
  return draw(more);
}

function drawDigit(n) {
  if ($("panel-draw").hidden || !state.model || n >= state.model.classes.length) return;
  change({ label: n });
  draw();
}

const onDraw = (deed) => () => $("panel-draw").hidden || deed();
const DEEDS = {
  a: onDraw(() => {
    change({ label: null });
    draw();
  }),
  d: onDraw(() => draw()),
  r: onDraw(() => draw({ seed: rolled() })),
  l: onDraw(() => change({ locked: !state.locked })),
  k: onDraw(keep),
  " ": () => ($("panel-blend").hidden ? togglePlay() : blending.togglePlay()),
  p: () => $("tab-draw").click(),
  b: () => (stage.selected.size === 2 && !$("panel-draw").hidden ? blendSelected() : $("tab-blend").click()),
  h: () => $("tab-hand").click(),
  m: () => $("tab-map").click(),
  g: () => $("tab-gallery").click(),
  t: () => $("theme").click(),
  "?": () => $("help").click(),
  Escape: stopDrawing,
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

/** Asks for the server's token until it is right. */
function logIn() {
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
        $("login-problem").hidden = false;
        $("login-problem").textContent = error.message || t("offline");
      }
    };
  });
}

start().catch((error) => problem(error.message || t("offline")));
