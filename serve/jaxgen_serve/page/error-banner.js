// The page's error banner: a translated message for the answer's status, with the server's line as the detail.

import { Refused } from "./api.js";
import { $, el } from "./dom.js";
import { onLanguage, t } from "./i18n.js";

const KNOWN = [401, 404, 409, 413, 422, 503]; // statuses that the catalogue has messages for
let shown = null;

/** Shows an Error or a text above the panels until the next success; null hides it. */
export function problem(what) {
  if (what?.name === "AbortError") return; // the user stopped it
  shown = what;
  explain($("problem"), what);
  if (what) $("problem").scrollIntoView({ block: "nearest" }); // on a phone, the failed control is far below
}

/** Runs `work()` and shows its error; returns whether it succeeded. */
export async function attempt(work) {
  try {
    await work();
    return true;
  } catch (error) {
    problem(error);
    return false;
  }
}

/** Puts an error into `node`, which is hidden for null. */
export function explain(node, what) {
  node.hidden = !what;
  node.replaceChildren(...(what ? parts(what) : []));
}

function parts(what) {
  const line = what.message ?? what;
  if (!line) return [t("offline")];
  if (!(what instanceof Refused)) return [line];
  if (what.status === 401) return [t("server.401")]; // the server's line says no more
  const words = t(KNOWN.includes(what.status) ? `server.${what.status}` : "server.other");
  return [words, " ", el("span", { class: "detail", lang: "en" }, line)];
}

onLanguage(() => shown && explain($("problem"), shown));
