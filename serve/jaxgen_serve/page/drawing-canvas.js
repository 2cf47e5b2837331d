// The drawing canvas of the By hand panel: pen, eraser and mask for pointer and keyboard, with undo.

import { $, ARROWS } from "./dom.js";

const SIZE = 280; // pixels a side; the server resizes the image for the model
const MOST_UNDO = 40;

const COLOUR = { pen: "#fff", eraser: "#000", mask: "#ff5a1f" };

/** tool(): "pen", "eraser" or "mask"; brush(): its width; changed(): called after every change. */
export function easel({ tool, brush, changed }) {
  const paper = $("paper").getContext("2d", { willReadFrequently: true });
  const mask = $("mask").getContext("2d", { willReadFrequently: true });
  const cursor = $("cursor").getContext("2d");
  const history = [];
  let rough = false; // drawn by hand since it was last centred or cleared
  let last = null; // the last position of a pressed pointer
  let at = { x: SIZE / 2, y: SIZE / 2 }; // the keyboard's cursor

  const layer = () => (tool() === "mask" ? mask : paper);

  function remember() {
    history.push([paper, mask].map((context) => context.getImageData(0, 0, SIZE, SIZE)));
    if (history.length > MOST_UNDO) history.shift();
  }

  function stroke(from, to) {
    const context = layer();
    context.strokeStyle = COLOUR[tool()];
    context.lineWidth = brush();
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    context.moveTo(from.x, from.y);
    context.lineTo(to.x + 0.01, to.y);
    context.stroke();
    if (tool() === "pen") rough = true;
  }

  function place(event) {
    const box = $("paper").getBoundingClientRect();
    const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    return { x: x * SIZE, y: y * SIZE };
  }

  $("paper").addEventListener("pointerdown", (event) => {
    if (event.button) return;
    $("paper").setPointerCapture(event.pointerId);
    remember();
    last = place(event);
    stroke(last, last);
  });
  $("paper").addEventListener("pointermove", (event) => {
    if (!last) return;
    for (const part of event.getCoalescedEvents?.() ?? [event]) {
      const next = place(part);
      stroke(last, next);
      last = next;
    }
  });
  for (const name of ["pointerup", "pointercancel"]) {
    $("paper").addEventListener(name, () => {
      if (last) changed();
      last = null;
    });
  }

  let down = false; // the space bar
  $("paper").addEventListener("keydown", (event) => {
    if (event.key === " ") {
      if (!down) remember();
      down = true;
      stroke(at, at);
    } else if (event.key in ARROWS) {
      const [step, [x, y]] = [event.shiftKey ? 2 : 10, ARROWS[event.key]];
      const clamp = (value) => Math.max(0, Math.min(SIZE, value));
      const next = { x: clamp(at.x + x * step), y: clamp(at.y + y * step) };
      if (down) stroke(at, next);
      at = next;
    } else return;
    event.preventDefault();
    showCursor(true);
  });
  $("paper").addEventListener("keyup", (event) => {
    if (event.key !== " ") return;
    down = false;
    changed();
  });
  $("paper").addEventListener("focus", () => showCursor($("paper").matches(":focus-visible")));
  $("paper").addEventListener("blur", () => showCursor(false));

  function showCursor(visible) {
    cursor.clearRect(0, 0, SIZE, SIZE);
    if (!visible) return;
    for (const [colour, width] of [["#000", 4], ["#ff8e5e", 2]]) {
      cursor.strokeStyle = colour;
      cursor.lineWidth = width;
      cursor.beginPath();
      cursor.arc(at.x, at.y, Math.max(4, brush() / 2), 0, 7);
      cursor.stroke();
    }
  }

  function wipe() {
    paper.fillStyle = "#000";
    paper.fillRect(0, 0, SIZE, SIZE);
    mask.clearRect(0, 0, SIZE, SIZE);
    rough = false;
  }
  wipe();

  /** A copy, centred as MNIST is: the strokes take up a `share` of it, their centre of mass in the middle. */
  function centred(share) {
    const [copy, context] = canvas();
    context.fillRect(0, 0, SIZE, SIZE);
    const box = extent(paper.getImageData(0, 0, SIZE, SIZE).data);
    if (!box) return copy;
    const scale = (SIZE * share) / Math.max(box.right - box.left, box.bottom - box.top);
    const shift = (middle, least, most) =>
      Math.max(-least * scale, Math.min(SIZE - most * scale, SIZE / 2 - middle * scale));
    context.setTransform(scale, 0, 0, scale, shift(box.x, box.left, box.right), shift(box.y, box.top, box.bottom));
    context.drawImage($("paper"), 0, 0);
    return copy;
  }

  return {
    clear() {
      remember();
      wipe();
      changed();
    },

    undo() {
      const before = history.pop();
      if (before) [paper, mask].forEach((context, i) => context.putImageData(before[i], 0, 0));
      changed();
    },

    /** Puts an image on the canvas: centred, and scaled to fill it. */
    async put(src, smooth) {
      const image = new Image();
      image.src = src;
      await image.decode();
      remember();
      wipe();
      const scale = SIZE / Math.min(image.naturalWidth, image.naturalHeight);
      const [width, height] = [image.naturalWidth * scale, image.naturalHeight * scale];
      paper.imageSmoothingEnabled = smooth;
      paper.drawImage(image, (SIZE - width) / 2, (SIZE - height) / 2, width, height);
      changed();
    },

    /** Centres the drawing on the canvas. */
    centre(share = 20 / 28) {
      if (this.empty()) return;
      const copy = centred(share);
      remember();
      wipe();
      paper.drawImage(copy, 0, 0);
      changed();
    },

    empty: () => extent(paper.getImageData(0, 0, SIZE, SIZE).data) === null,
    masked: () => mask.getImageData(0, 0, SIZE, SIZE).data.some((value, i) => i % 4 === 3 && value > 0),
    rough: () => rough,
    past: () => history.length > 0,

    /** The canvas as a PNG, a Blob; share: centred as `centre` does, without a change to the canvas. */
    image: (share = null) =>
      new Promise((done) => (share ? centred(share) : $("paper")).toBlob(done, "image/png")),

    /** The mask as a PNG, white where it is painted, a Blob. */
    mask() {
      const [copy, context] = canvas();
      context.drawImage($("mask"), 0, 0);
      context.globalCompositeOperation = "source-in";
      context.fillStyle = "#fff";
      context.fillRect(0, 0, SIZE, SIZE);
      context.globalCompositeOperation = "destination-over";
      context.fillStyle = "#000";
      context.fillRect(0, 0, SIZE, SIZE);
      return new Promise((done) => copy.toBlob(done, "image/png"));
    },
  };
}

function canvas() {
  const made = Object.assign(document.createElement("canvas"), { width: SIZE, height: SIZE });
  return [made, made.getContext("2d")];
}

/** The bounding box and centre of mass of the drawing on black; null: it is empty. */
function extent(rgba) {
  const box = { left: SIZE, top: SIZE, right: 0, bottom: 0, x: 0, y: 0 };
  let mass = 0;
  for (let i = 0; i < rgba.length; i += 4) {
    const value = Math.max(rgba[i], rgba[i + 1], rgba[i + 2]);
    if (value < 24) continue;
    const [x, y] = [(i / 4) % SIZE, Math.floor(i / 4 / SIZE)];
    Object.assign(box, { left: Math.min(box.left, x), right: Math.max(box.right, x + 1) });
    Object.assign(box, { top: Math.min(box.top, y), bottom: Math.max(box.bottom, y + 1) });
    box.x += x * value;
    box.y += y * value;
    mass += value;
  }
  return mass ? { ...box, x: box.x / mass, y: box.y / mass } : null;
}
