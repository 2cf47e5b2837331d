// Small helpers for the document: elements, icons, toasts, announcements, arrow keys.

export const $ = (id) => document.getElementById(id);

/** An element. Keys of props: `class`, `on` ({event: handler}), `t` and `tLabel` (catalogue keys), else attributes. */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "class") node.className = value;
    else if (key === "on") for (const [event, handler] of Object.entries(value)) node.addEventListener(event, handler);
    else if (key === "t") node.dataset.t = value;
    else if (key === "tLabel") node.dataset.tLabel = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Fills a list with [value, words] each; the chosen value stays chosen if it is still there. */
export function fillList(list, options) {
  const before = list.value;
  list.replaceChildren(...options.map(([value, words]) => el("option", { value }, words)));
  if (options.some(([value]) => String(value) === before)) list.value = before;
}

/** Fills a box with radio buttons, [value, words] each; the earlier choice stays, by default `first`. */
export function fillSegments(box, name, options, first) {
  const chosen = box.querySelector(":checked")?.value ?? String(first);
  const radio = (value) => el("input", { type: "radio", name, value, checked: String(value) === chosen });
  box.replaceChildren(...options.map(([value, words]) => el("label", { id: `${name}-${value}` }, radio(value), words)));
}

/** The value of the checked radio button. */
export const picked = (box) => box.querySelector(":checked").value;

/** One of the icons that index.html defines. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

export function setIcon(button, name) {
  button.querySelector("use").setAttribute("href", `#i-${name}`);
}

/** Announces a text to screen readers only. */
export function announce(text) {
  $("live").textContent = "";
  requestAnimationFrame(() => ($("live").textContent = text));
}

let timer = 0; // of the current toast

/** Shows a message at the foot of the page for some seconds; action: {text, run(), over()}, over() when it expires. */
export function toast(text, action = null, seconds = 8) {
  const note = el("div", { class: "toast", role: "status" }, el("span", {}, text));
  const close = () => {
    clearTimeout(timer);
    note.remove();
  };
  const late = () => {
    close();
    action?.over();
  };
  const wait = () => {
    clearTimeout(timer);
    timer = setTimeout(late, seconds * 1000);
  };
  if (action) {
    const run = () => {
      close();
      action.run();
    };
    note.append(el("button", { class: "quiet", type: "button", on: { click: run } }, action.text));
    note.addEventListener("focusin", () => clearTimeout(timer));
    note.addEventListener("focusout", () => note.isConnected && wait());
  }
  $("toasts").replaceChildren(note);
  wait();
  return note;
}

/** Removes messages without an action. */
export function endNews() {
  for (const note of $("toasts").children) if (!note.querySelector("button")) note.remove();
}

export const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** One tab stop for the elements of `box` that match; arrows, Home and End move inside. `columns`: of their grid. */
export function roving(box, selector, { columns = () => 1, follow = null } = {}) {
  const items = () => [...box.querySelectorAll(selector)].filter((item) => !item.hidden && !item.disabled);
  const settle = (chosen) => items().forEach((item) => (item.tabIndex = item === chosen ? 0 : -1));
  box.addEventListener("focusin", (event) => event.target.matches(selector) && settle(event.target));
  box.addEventListener("keydown", (event) => {
    const all = items();
    const at = all.indexOf(event.target);
    if (at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    let to = null;
    if (event.key in ARROWS) to = at + ARROWS[event.key][0] + ARROWS[event.key][1] * columns();
    else if (event.key === "Home") to = 0;
    else if (event.key === "End") to = all.length - 1;
    if (to === null) return;
    event.preventDefault();
    const next = all[Math.max(0, Math.min(all.length - 1, to))];
    settle(next);
    next.focus();
    follow?.(next);
  });
  /** Call it when the elements have changed: one of them must stay reachable by Tab. */
  return (chosen = null) => {
    const all = items();
    settle(all.includes(chosen) ? chosen : (all.find((item) => item.tabIndex === 0) ?? all[0]));
  };
}

/** Returns run(work(signal)), of which only the newest call goes on: it aborts an earlier one. */
export function newest() {
  let current = null;
  const run = async (work) => {
    current?.abort();
    const mine = (current = new AbortController());
    try {
      return await work(mine.signal);
    } finally {
      if (current === mine) current = null;
    }
  };
  run.stop = () => current?.abort();
  run.busy = () => current !== null;
  return run;
}

/** Hands `data` (bytes or a Blob) to the browser as a file. */
export function save(data, name, type) {
  const url = URL.createObjectURL(data instanceof Blob ? data : new Blob([data], { type }));
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
