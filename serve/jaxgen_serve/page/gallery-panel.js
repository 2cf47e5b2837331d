// The gallery: kept images, searched by model, class and seed.

import { $, announce, el, fillList, icon, roving, save, toast } from "./dom.js";
import { MOST_SEED, isWrong, wholeNumber } from "./fields.js";
import { onLanguage, t } from "./i18n.js";
import { imageName } from "./file-names.js";
import { bytesOf } from "./png.js";
import { attempt, problem } from "./error-banner.js";
import { newSeed, state, watch } from "./state.js";

const PAGE = 60;
const WAIT = 200; // milliseconds from the last key to the search

let backend = null;
let again = null; // samples again with a row's settings
let rows = [];
let next = null;
let total = 0; // number of matches on all pages
let searches = 0; // counts searches, of which the newest one wins
const deleted = []; // rows that can be restored, the newest last

/** resample(row, {seed, index, count}): samples with a row's settings on the Generate panel; start(): shows that panel. */
export function setUpGallery(current, resample, start) {
  [backend, again] = [current, resample];
  let timer = 0;
  $("search").addEventListener("submit", (event) => event.preventDefault());
  $("search").addEventListener("input", (event) => {
    if (event.target === $("find-model")) fillLabels();
    clearTimeout(timer);
    timer = setTimeout(openGallery, WAIT);
  });
  $("more").addEventListener("click", () => load(next));
  $("no-cards").querySelector("button").addEventListener("click", start);
  roving($("cards"), "button.deed", { columns: () => 5 * columns() });
  watch((changed) => changed.has("models") && fillFilters());
  onLanguage(() => {
    fillFilters();
    if (!$("panel-gallery").hidden) show();
  });
}

export async function openGallery() {
  if (!backend().gallery) return;
  fillFilters();
  await load(null);
}

async function load(before) {
  const mine = ++searches;
  const seed = wholeNumber($("find-seed"), 0, MOST_SEED);
  if (isWrong($("find-seed"))) {
    [rows, next, total] = [[], null, 0];
    return show();
  }
  const query = {
    model: $("find-model").value,
    label: $("find-label").value,
    seed,
    favourite: $("find-favourite").checked ? true : null,
    limit: PAGE,
    before,
  };
  await attempt(async () => {
    const page = await backend().gallery.list(query);
    if (mine !== searches) return;
    rows = before === null ? page.images : [...rows, ...page.images];
    [next, total] = [page.next, page.total];
    problem(null);
    show();
  });
}

function show() {
  $("cards").replaceChildren(...rows.map(card));
  showTotal();
  $("more").hidden = next === null;
  $("no-cards").hidden = rows.length > 0;
  const isSet = (field) => (field.type === "checkbox" ? field.checked : field.value);
  const filtered = [...$("search").querySelectorAll("select, input")].some(isSet);
  $("no-cards").querySelector("p").textContent = t(filtered ? "gallery.nothing" : "gallery.empty");
}

const showTotal = () => ($("found").textContent = t("gallery.found", { n: total }));

function card(row) {
  const [name, seed] = [row.class_name ?? null, String(row.seed)];
  const words = name === null ? t("gallery.image", { seed }) : t("gallery.image.of", { name, seed });
  const place = t("facts.seed", { seed: row.index ? `${seed} / ${row.index}` : seed });
  const deed = (key, image, click, pressed = null) => {
    const label = { title: t(key), "aria-label": `${t(key)}: ${words}`, "aria-pressed": pressed };
    return el("button", { class: "icon deed", type: "button", ...label, on: { click } }, icon(image));
  };
  const same = { seed: row.seed, index: row.index, count: 1, sha256: row.sha256 };
  const box = el(
    "article",
    { class: "card", "data-id": row.id },
    el("img", { src: backend().gallery.src(row), alt: words, loading: "lazy" }),
    el("p", { class: "said" }, el("b", {}, name ?? row.model), ` ${name === null ? "" : row.model}`, el("br"), place),
    el(
      "div",
      { class: "deeds" },
      deed("gallery.favourite", "heart", (event) => favourite(row, event.currentTarget), String(row.favourite)),
      deed("gallery.again", "again", () => again(row, same)),
      deed("gallery.vary", "vary", () => again(row, { seed: newSeed(), index: 0, count: 5 })),
      deed("gallery.save", "save", () => download(row)),
      deed("gallery.delete", "delete", () => remove(row, box)),
    ),
  );
  return box;
}

async function favourite(row, button) {
  if (!(await attempt(() => backend().gallery.favourite(row.id, !row.favourite)))) return;
  row.favourite = !row.favourite;
  button.setAttribute("aria-pressed", String(row.favourite));
}

async function remove(row, box) {
  if (!(await attempt(() => backend().gallery.remove(row.id)))) return;
  const focus = (box.nextElementSibling ?? box.previousElementSibling)?.querySelector(".deed:last-child");
  rows = rows.filter((one) => one !== row);
  total -= 1;
  box.remove();
  showTotal();
  (focus ?? $("find-model")).focus();
  deleted.push(row);
  offerUndo();
  announce(t("gallery.deleted", { n: 1 }));
  if (!rows.length) await load(null);
}

/** Shows a toast that restores deleted images, one after the other. */
function offerUndo() {
  const action = { text: t("undo"), run: restore, over: () => deleted.splice(0) };
  return toast(t("gallery.deleted", { n: deleted.length }), action, 12);
}

async function restore() {
  const row = deleted.pop();
  if (await attempt(() => backend().gallery.restore(row.id))) {
    await load(null);
    announce(t("gallery.restored"));
  } else deleted.push(row);
  const undo = deleted.length ? offerUndo().querySelector("button") : null;
  (undo ?? deedOf(row) ?? document.querySelector("[role=tab][aria-selected=true]")).focus();
}

/** The button of an image that takes the focus; null: the image is not shown. */
const deedOf = (row) =>
  $("panel-gallery").hidden ? null : $("cards").querySelector(`[data-id="${row.id}"] .deed:last-child`);

const download = async (row) => save(await bytesOf(backend().gallery.src(row)), imageName(row, row), "image/png");

function fillFilters() {
  fillList($("find-model"), [["", t("all")], ...state.models.map(({ name }) => [name, name])]);
  fillLabels();
}

function fillLabels() {
  const chosen = state.models.filter(({ name }) => !$("find-model").value || name === $("find-model").value);
  const larger = (most, one) => (one.classes.length > most.classes.length ? one : most);
  const { classes } = chosen.reduce(larger, { classes: [] });
  fillList($("find-label"), [["", t("all")], ...classes.map((name) => [name, name])]);
}

const columns = () => getComputedStyle($("cards")).gridTemplateColumns.split(" ").length;
