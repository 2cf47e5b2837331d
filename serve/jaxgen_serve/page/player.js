// A row of pictures that a slider goes through, and that plays to and fro.

import { setIcon } from "./dom.js";
import { t } from "./i18n.js";

/** slider, button: elements; show(i): shows picture i; time: milliseconds each. Returns {load(count), toggle, stop}. */
export function player({ slider, button, show, time = 80 }) {
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
    timer = setInterval(() => {
      const at = Number(slider.value) + way;
      if (at < 0 || at > Number(slider.max)) way = -way;
      else show((slider.value = at));
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
