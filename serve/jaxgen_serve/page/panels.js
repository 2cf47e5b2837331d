// The tabs and their panels: which one is open, and which this page has.

import { $, announce, endNews, roving } from "./dom.js";
import { t } from "./i18n.js";
import { problem } from "./error-banner.js";
import { state, watch } from "./state.js";

const PANELS = ["generate", "blend", "hand", "map", "gallery"];

let panels = {};
let open = null;

/** kinds: {panel: {open(): called when it is shown, there(): whether this page has it}}, where needed. */
export function setUpPanels(kinds) {
  panels = kinds;
  for (const name of PANELS) $(`tab-${name}`).addEventListener("click", () => showPanel(name));
  const settle = roving($("tabs"), "[role=tab]", { follow: (tab) => tab.click() });
  showTabs();
  showPanel(PANELS.find((name) => `#${name}` === location.hash) ?? "generate");
  settle($("tabs").querySelector("[aria-selected=true]"));
  watch((changed) => {
    if (changed.has("models")) showTabs();
    if (["known", "model", "asked", "uploads"].some((key) => changed.has(key))) showContents();
  });
}

function showTabs() {
  for (const name of PANELS) $(`tab-${name}`).hidden = !there(name);
  if (open && !there(open)) showPanel("generate");
}

const there = (name) => !panels[name]?.there || Boolean(panels[name].there());

function showPanel(name) {
  open = there(name) ? name : "generate";
  for (const one of PANELS) {
    $(`tab-${one}`).setAttribute("aria-selected", one === open);
    $(`tab-${one}`).tabIndex = one === open ? 0 : -1;
  }
  showContents();
  problem(null);
  endNews();
  history.replaceState(null, "", `#${open}`);
  panels[open]?.open?.();
}

/** Shows a panel, if the page has it, and focuses its tab: the element with the focus may be hidden now. */
export function goTo(name) {
  if (!there(name)) return;
  showPanel(name);
  $(`tab-${name}`).focus();
}

/** Shows the open panel; all but the gallery need a model. */
function showContents() {
  const empty = !state.model && open !== "gallery";
  for (const one of PANELS) $(`panel-${one}`).hidden = one !== open || empty;
  $("which").hidden = open === "gallery" || empty;
  $("device-line").hidden = !state.asked;
  for (const label of document.querySelectorAll(".add-model")) label.hidden = !state.uploads;
  const none = empty && state.known;
  if (none && $("no-models").hidden) announce(t("models.none"));
  $("no-models").hidden = !none;
}
