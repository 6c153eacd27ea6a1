// The views of the shop's page, of which one is shown, and the way of the focus to a product and back.

import { byId } from "/js/dom.js";

const VIEWS = ["welcome", "product", "columns"];

// What led to a product: the focus returns to it.
let opener = null;

/** Shows one of the views and hides the others. */
export function showOnly(id) {
  for (const view of VIEWS) byId(view).hidden = view !== id;
}

export const isShown = (id) => !byId(id).hidden;

/** Remembers what has the focus as what leads to a product. */
export function leaveFocus() {
  opener = document.activeElement;
}

/** Forgets what led to a product. */
export function forgetFocus() {
  opener = null;
}

/** After a product: gives the focus to what led to it, or to `otherwise` where that is gone. */
export function giveFocusBack(otherwise) {
  (opener?.isConnected ? opener : otherwise).focus({ preventScroll: true });
  opener = null;
}
