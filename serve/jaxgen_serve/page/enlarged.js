// A dialog that shows one image large, and saves it.

import { $, el, icon, save } from "./dom.js";
import { t } from "./i18n.js";
import { bytesOf } from "./png.js";

let shown = null;

export function setUpEnlarging() {
  $("image-box").addEventListener("click", (event) => event.target === $("image-box") && $("image-box").close());
  $("image-save").addEventListener("click", () => saveImage(shown));
}

/** An image whose button enlarges it. image: {src, words, name: of the file when it is saved}. */
export function enlargeable(image) {
  const picture = el("img", { src: image.src, alt: image.words, class: "pixel", loading: "lazy" });
  return button("enlarge", image, { class: "enlarge", title: t("enlarge") }, () => enlarge(image), picture);
}

/** A button that saves an image. */
export const saving = (image) =>
  button("save", image, { class: "quiet" }, () => saveImage(image), icon("save"), t("save"));

const button = (key, { words }, props, click, ...inside) =>
  el("button", { type: "button", "aria-label": `${t(key)}: ${words}`, ...props, on: { click } }, ...inside);

function enlarge(image) {
  shown = image;
  $("image-title").textContent = image.words;
  Object.assign($("image-box").querySelector("img"), { src: image.src, alt: image.words });
  $("image-box").showModal();
}

const saveImage = async ({ src, name }) => save(await bytesOf(src), name, "image/png");
