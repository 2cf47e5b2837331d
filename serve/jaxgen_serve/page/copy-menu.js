// The Copy menu of the Generate panel: a link to the images of the stage, or a recipe for them.

import { queryOf } from "./address.js";
import { $, announce, toast } from "./dom.js";
import { t } from "./i18n.js";
import { commandOf, curlOf, pythonOf } from "./recipes.js";
import { chosen, stage } from "./results.js";

/** backend: the server's, or the static site's. */
export function setUpCopying(backend) {
  const file = () => stage.model.download;
  const recipes = {
    link: () => `${location.href.split(/[?#]/)[0]}?${queryOf(stage.model, linked())}#generate`,
    command: () => commandOf(stage.used, chosen(), file()),
    curl: () => curlOf(stage.used, chosen(), backend.address("")),
    python: () => pythonOf(stage.used, chosen(), file(), stage.model.classes.length),
  };
  $("copy-curl").hidden = backend.static;
  for (const [kind, text] of Object.entries(recipes)) $(`copy-${kind}`).addEventListener("click", () => copy(text()));
  document.addEventListener("click", (event) => $("copy").contains(event.target) || close());
  $("copy").addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !$("copy").open) return;
    event.preventDefault();
    close();
    $("copy").querySelector("summary").focus();
  });
}

const close = () => ($("copy").open = false);

/** The request of the stage; its label is that of its images, where they share one. */
function linked() {
  const { used, images } = stage;
  const labels = new Set(images.map(({ label }) => label));
  return { ...used, count: images.length, index: images[0].index, label: labels.size === 1 ? [...labels][0] : null };
}

async function copy(text) {
  close();
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    byHand(text); // the page is neither local nor encrypted
  }
  toast(t("copied"));
  announce(t("copied"));
}

function byHand(text) {
  const field = Object.assign(document.createElement("textarea"), { value: text, className: "unseen" });
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}
