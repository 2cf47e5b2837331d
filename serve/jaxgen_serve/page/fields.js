// Fields for whole numbers: an invalid value is explained beside the field, in #ID-wrong, and not used.

import { $ } from "./dom.js";
import { onLanguage, t } from "./i18n.js";

export const MOST_SEED = 2 ** 32 - 1;
const wrong = new Map(); // field -> [least, most]

/** The number from `least` to `most` in `field`; null: the field is empty or invalid. */
export function wholeNumber(field, least, most) {
  const text = field.value.trim();
  const empty = text === "" && !field.validity.badInput;
  const right = /^\d+$/.test(text) && Number(text) >= least && Number(text) <= most;
  mark(field, empty || right ? null : [least, most]);
  return right ? Number(text) : null;
}

/** Puts a valid value into a field. */
export function put(field, value) {
  field.value = value;
  mark(field, null);
}

export const isWrong = (field) => wrong.has(field);

/** Whether all fields of `form` are valid; otherwise focuses the first invalid one. */
export function ready(form) {
  const field = form.querySelector("[aria-invalid=true]");
  field?.focus();
  return !field;
}

function mark(field, range) {
  const line = $(`${field.id}-wrong`);
  if (range) wrong.set(field, range);
  else wrong.delete(field);
  field.setAttribute("aria-invalid", Boolean(range));
  line.hidden = !range;
  line.textContent = range ? t("wrong.whole", { least: String(range[0]), most: String(range[1]) }) : "";
}

onLanguage(() => wrong.forEach((range, field) => mark(field, range)));
