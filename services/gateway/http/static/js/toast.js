// A short word on what was done, at the edge of the screen. It goes by itself.

import { element } from "/js/dom.js";

const SHOWN_MS = 7000;

const place = element("p", { className: "toast", role: "status" });
let timer = 0;

/** Says a sentence, in place of the one before. */
export function tell(text) {
  clearTimeout(timer);
  if (!place.isConnected) document.body.append(place);
  // Screen readers tell what changes in a place that is there already.
  requestAnimationFrame(() => {
    place.textContent = text;
  });
  timer = setTimeout(() => {
    place.textContent = "";
  }, SHOWN_MS);
}
