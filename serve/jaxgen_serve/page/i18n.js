// Translations: one catalogue, strings.json, with each text in the order of LANGUAGES.

const LANGUAGES = ["en", "pt", "fr"];
const FALLBACK = "en";
let catalogue = {}; // key -> its text in each language
let language = FALLBACK;
const listeners = new Set();

export async function loadWords() {
  catalogue = await (await fetch("strings.json")).json();
}

/** The first of the browser's languages that the catalogue has. */
export function browserLanguage() {
  const wanted = (navigator.languages ?? [navigator.language]).map((tag) => tag.slice(0, 2).toLowerCase());
  return wanted.find((tag) => LANGUAGES.includes(tag)) ?? FALLBACK;
}

export function setLanguage(chosen) {
  language = LANGUAGES.includes(chosen) ? chosen : FALLBACK;
  document.documentElement.lang = language;
  translate(document);
  for (const listener of listeners) listener();
}

/** Calls `listener()` when the language has changed, for texts that are built from values. */
export function onLanguage(listener) {
  listeners.add(listener);
}

/** Whether there is a text for a key: there is none for a family of a newer jaxgen. */
export const hasWords = (key) => key in catalogue;

/** A sampler's translated name; its own name if it is one of a newer jaxgen. */
export const samplerWords = (name) => (hasWords(`sampler.${name}`) ? t(`sampler.${name}`) : name);

/** The text of a key; {name} in it is replaced by values.name, and `n` chooses between key.one and key.other. */
export function t(key, values = {}) {
  const one = () => `${key}.${new Intl.PluralRules(language).select(values.n) === "one" ? "one" : "other"}`;
  const words = catalogue[key] ?? ("n" in values ? catalogue[one()] : null);
  if (!words) return key;
  const text = words[LANGUAGES.indexOf(language)];
  const shown = (value) => (typeof value === "number" ? number(value) : (value ?? ""));
  return text.replace(/\{(\w+)\}/g, (_, name) => shown(values[name]));
}

/** A number in the language's format. Identifiers such as seeds are not quantities: pass them as strings. */
export function number(value, digits = 3) {
  const options = { maximumSignificantDigits: digits, useGrouping: value >= 10_000 };
  return new Intl.NumberFormat(language, options).format(value);
}

/** A number with a fixed count of decimal places. */
export function decimal(value, places = 2) {
  const options = { minimumFractionDigits: places, maximumFractionDigits: places };
  return new Intl.NumberFormat(language, options).format(value);
}

/** A time in words: "840 ms" or "12.3 s". */
export const duration = (ms) => (ms < 1000 ? t("time.ms", { ms }) : t("time.s", { s: decimal(ms / 1000, 1) }));

/** Translates the elements below `root`: data-t names their text, data-t-label their label, data-t-tip a tooltip. */
function translate(root) {
  for (const node of root.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of root.querySelectorAll("[data-t-tip]")) node.title = t(node.dataset.tTip);
  for (const node of root.querySelectorAll("[data-t-label]")) {
    const text = t(node.dataset.tLabel);
    node.setAttribute("aria-label", text);
    if (node.matches("button")) node.title = text;
  }
}
