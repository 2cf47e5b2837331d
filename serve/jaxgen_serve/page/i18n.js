// Words: one catalogue, strings.json, with the same keys in each language.

const FALLBACK = "en";
let catalogue = {};
let language = FALLBACK;
const listeners = new Set();

export async function loadWords() {
  catalogue = await (await fetch("strings.json")).json();
}

/** The first of the browser's languages that the catalogue has. */
export function browserLanguage() {
  const wanted = (navigator.languages ?? [navigator.language]).map((tag) => tag.slice(0, 2).toLowerCase());
  return wanted.find((tag) => tag in catalogue) ?? FALLBACK;
}

export function setLanguage(chosen) {
  language = chosen in catalogue ? chosen : FALLBACK;
  document.documentElement.lang = language;
  translate(document);
  for (const listener of listeners) listener();
}

/** Calls `listener()` whenever the language has changed: for text that is put together from values. */
export function onLanguage(listener) {
  listeners.add(listener);
}

/** Whether there are words for a key: of a family that a newer jaxgen has there are none. */
export const hasWords = (key) => key in (catalogue[language] ?? {});

/** What a sampler is called: its own name if it is one of a newer jaxgen. */
export const samplerWords = (name) => (hasWords(`sampler.${name}`) ? t(`sampler.${name}`) : name);

/** The words of a key; {name} in them is replaced by values.name, and `n` chooses between key.one and key.other. */
export function t(key, values = {}) {
  const words = catalogue[language] ?? {};
  let text = words[key];
  if (text === undefined && "n" in values) {
    text = words[`${key}.${new Intl.PluralRules(language).select(values.n) === "one" ? "one" : "other"}`];
  }
  if (text === undefined) return key;
  return text.replace(/\{(\w+)\}/g, (_, name) => (typeof values[name] === "number" ? number(values[name]) : (values[name] ?? "")));
}

/** A number as the language writes it. Identifiers such as seeds are no quantities: pass them as strings. */
export function number(value, digits = 3) {
  return new Intl.NumberFormat(language, { maximumSignificantDigits: digits, useGrouping: value >= 10_000 }).format(value);
}

/** With so many places after the point, always. */
export function decimal(value, places = 2) {
  return new Intl.NumberFormat(language, { minimumFractionDigits: places, maximumFractionDigits: places }).format(value);
}

/** Fills the elements below `root` that name their words: data-t the text, data-t-label the label and the tooltip. */
export function translate(root) {
  for (const node of root.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of root.querySelectorAll("[data-t-label]")) {
    const text = t(node.dataset.tLabel);
    node.setAttribute("aria-label", text);
    if (node.matches("button")) node.title = text;
  }
}
