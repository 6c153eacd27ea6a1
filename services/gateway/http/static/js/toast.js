// A short word on what was done, at the edge of the screen. It goes by itself.

import { element } from "/js/dom.js";

const SHOWN_MS = 7000;
// What is done sooner needs no word.
const PATIENCE_MS = 300;

const place = element("p", { className: "toast", role: "status" });
let timer = 0;
// Whose word is shown, as long as that is being done.
let present = null;

/** Puts a text in place of the one before. */
function say(text, by = null) {
  clearTimeout(timer);
  present = by;
  if (!place.isConnected) document.body.append(place);
  // Screen readers tell what changes in a place that is there already.
  requestAnimationFrame(() => {
    place.textContent = text;
  });
}

/** Says a sentence, in place of the one before. */
export function tell(text) {
  say(text);
  timer = setTimeout(() => say(""), SHOWN_MS);
}

/** Says what is being done, once that takes a while, until the function that it returns is called. */
export function busy(text) {
  const own = setTimeout(() => say(text, own), PATIENCE_MS);
  return () => {
    clearTimeout(own);
    if (present === own) say("");
  };
}
