// Keyboard shortcuts: single keys outside of fields, listed under "?", where they can be turned off.

import { $, el } from "./dom.js";
import { onLanguage, t } from "./i18n.js";
import { change, state, watch } from "./state.js";

const LISTED = [
  [["0", "…", "9"], "keys.digit"],
  [["A"], "keys.any"],
  [["D"], "keys.generate"],
  [["R"], "keys.roll"],
  [["L"], "keys.lock"],
  [["Space"], "keys.play"],
  [["K"], "keys.keep"],
  [["P", "B", "H", "M", "G"], "keys.panels"],
  [["T"], "keys.theme"],
  [["←", "→", "↑", "↓"], "keys.arrows"],
  [["Esc"], "keys.escape"],
  [["?"], "keys.help"],
];

/** actions: {key: action()}; digit(n): samples a class. */
export function setUpShortcuts(actions, digit) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (event.key === "Escape" && !document.querySelector("dialog[open]")) return actions.Escape();
    if (!state.keys || typing(event.target) || document.querySelector("dialog[open]")) return;
    if (/^[0-9]$/.test(event.key)) return digit(Number(event.key));
    // Elsewhere the space bar presses the focused button.
    if (event.key === " " && event.target !== document.body && event.target.id !== "panels") return;
    const action = actions[event.key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    action();
  });
  $("help").addEventListener("click", () => $("help-box").showModal());
  $("help-box").addEventListener("click", (event) => event.target === $("help-box") && $("help-box").close());
  $("keys-on").addEventListener("change", (event) => change({ keys: event.target.checked }));
  watch(() => ($("keys-on").checked = state.keys));
  $("keys-on").checked = state.keys;
  onLanguage(list);
}

function list() {
  const rows = LISTED.flatMap(([keys, what]) => {
    const name = (key) => (key === "Space" ? t("keys.space") : key);
    const caps = keys.flatMap((key) => (key === "…" ? [" … "] : [el("kbd", {}, name(key)), " "]));
    return [el("dt", {}, ...caps), el("dd", {}, t(what))];
  });
  $("shortcuts").replaceChildren(...rows);
}

function typing(node) {
  if (node.matches("#paper, [role=slider]")) return true;
  return node.matches("select, textarea, input:not([type=range], [type=checkbox], [type=radio], [type=file])");
}
