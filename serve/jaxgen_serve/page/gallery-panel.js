// The gallery: kept images, searched by model, class and seed.

import { $, announce, el, fillList, icon, roving, save, toast } from "./dom.js";
import { enlargeable } from "./enlarged.js";
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
const deleted = []; // groups of rows that can be restored, the newest last
const selected = new Set(); // rows

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
  $("selected-zip").addEventListener("click", zip);
  $("selected-delete").addEventListener("click", () => remove([...selected]));
  $("selected-favourite").addEventListener("click", async () => {
    const mark = ![...selected].every((row) => row.favourite);
    for (const row of selected) if (row.favourite !== mark) await favourite(row);
  });
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
  $("cards").setAttribute("aria-busy", "true");
  try {
    await loadPage(before, mine);
  } finally {
    if (mine === searches) $("cards").setAttribute("aria-busy", "false");
  }
}

async function loadPage(before, mine) {
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
  for (const row of selected) if (!rows.includes(row)) selected.delete(row);
  showSelected();
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
    const label = { "aria-label": `${t(key)}: ${words}`, "aria-pressed": pressed };
    return el("button", { class: "quiet deed", type: "button", ...label, on: { click } }, icon(image), t(key));
  };
  const same = { seed: row.seed, index: row.index, count: 1, sha256: row.sha256 };
  const choose = (event) => {
    if (event.target.checked) selected.add(row);
    else selected.delete(row);
    showSelected();
  };
  const box = { type: "checkbox", checked: selected.has(row), "aria-label": `${t("gallery.select")}: ${words}` };
  const first = [date(row.created), name].filter(Boolean).join(" · ");
  const image = { src: backend().gallery.src(row), words, name: imageName(row, row) };
  return el(
    "article",
    { class: "card", "data-id": row.id },
    enlargeable(image),
    el("input", { ...box, on: { change: choose } }),
    el("p", { class: "said" }, el("b", {}, first), el("br"), row.model, el("br"), place),
    el(
      "div",
      { class: "deeds" },
      deed("gallery.favourite", "heart", () => favourite(row), String(row.favourite)),
      deed("gallery.again", "again", () => again(row, same)),
      deed("gallery.vary", "vary", () => again(row, { seed: newSeed(), index: 0, count: 5 })),
      deed("gallery.save", "save", () => download(row)),
      deed("gallery.delete", "delete", () => remove([row])),
    ),
  );
}

const date = (iso) =>
  new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium" }).format(new Date(iso));

const boxOf = (row) => $("cards").querySelector(`[data-id="${row.id}"]`);

function showSelected() {
  $("selected").hidden = !selected.size;
  $("selected").querySelector("output").textContent = t("selected", { n: selected.size });
}

async function zip() {
  const ids = rows.filter((row) => selected.has(row)).map(({ id }) => id);
  await attempt(async () => save(await backend().gallery.zip(ids), "gallery.zip", "application/zip"));
}

async function favourite(row) {
  if (!(await attempt(() => backend().gallery.favourite(row.id, !row.favourite)))) return;
  row.favourite = !row.favourite;
  boxOf(row)?.querySelector(".deed").setAttribute("aria-pressed", String(row.favourite));
}

/** Deletes some rows; one "Undo" brings all of them back. */
async function remove(some) {
  const gone = [];
  for (const row of some) {
    if (!(await attempt(() => backend().gallery.remove(row.id)))) break;
    gone.push(row);
  }
  if (!gone.length) return;
  const last = boxOf(gone.at(-1));
  const focus = (last?.nextElementSibling ?? last?.previousElementSibling)?.querySelector(".deed:last-child");
  rows = rows.filter((one) => !gone.includes(one));
  total -= gone.length;
  for (const row of gone) {
    boxOf(row)?.remove();
    selected.delete(row);
  }
  showSelected();
  showTotal();
  (focus?.isConnected ? focus : $("find-model")).focus();
  deleted.push(gone);
  offerUndo();
  announce(t("gallery.deleted", { n: gone.length }));
  if (!rows.length) await load(null);
}

/** Shows a toast that restores deleted images, one after the other. */
function offerUndo() {
  const action = { text: t("undo"), run: restore, over: () => deleted.splice(0) };
  return toast(t("gallery.deleted", { n: deleted.flat().length }), action, 12);
}

async function restore() {
  const gone = deleted.pop();
  const [row] = gone;
  const all = () => Promise.all(gone.map(({ id }) => backend().gallery.restore(id)));
  if (await attempt(all)) {
    await load(null);
    announce(t("gallery.restored", { n: gone.length }));
  } else deleted.push(gone);
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
