// A player for a row of images, with a slider: plays to and fro, or once.

import { setIcon } from "./dom.js";
import { t } from "./i18n.js";

/** slider, button: elements; show(i): shows image i; time: milliseconds per image; once: stops at the end.
 * Returns {load(count), toggle, stop}. */
export function player({ slider, button, show, time = 80, once = false }) {
  let timer = 0;
  let way = 1;

  function stop() {
    clearInterval(timer);
    timer = 0;
    mark("play");
  }

  function mark(word) {
    setIcon(button, word);
    button.dataset.tLabel = word;
    button.title = t(word);
    button.setAttribute("aria-label", t(word));
  }

  function toggle() {
    if (timer) return stop();
    mark("pause");
    const last = Number(slider.max);
    if (once && Number(slider.value) >= last) show((slider.value = 0));
    timer = setInterval(() => {
      const at = Number(slider.value) + way;
      if (at < 0 || at > last) way = -way;
      else show((slider.value = at));
      if (once && at >= last) stop();
    }, time);
  }

  slider.addEventListener("input", () => {
    stop();
    show(Number(slider.value));
  });
  button.addEventListener("click", toggle);

  function load(count) {
    stop();
    way = 1;
    slider.max = count - 1;
    slider.value = 0;
    show(0);
  }

  return { load, toggle, stop };
}
