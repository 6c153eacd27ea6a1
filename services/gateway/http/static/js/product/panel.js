// A panel over the page: a dialog with a button that closes it, gone from the page when it is closed.

import { element } from "/js/dom.js";
import { icon } from "/js/icons.js";
import { t } from "/js/messages.js";

/** A button that closes the panel it is in. */
export function closeButton() {
  const button = element("button", { type: "button", className: "close", "aria-label": t("panel.close"), title: t("panel.close") }, icon("close"));
  button.addEventListener("click", () => button.closest("dialog").close());
  return button;
}

/** Opens a panel; its title is the element with the id `titleId`. The focus returns to where it was. */
export function openPanel({ className, titleId }, ...children) {
  const dialog = element("dialog", { className, "aria-labelledby": titleId }, ...children);
  const close = () => dialog.close();
  // Only what is beside the content is the dialog itself. What is drawn within may end there, but begins elsewhere.
  let isBeside = false;
  dialog.addEventListener("pointerdown", (event) => {
    isBeside = event.target === dialog;
  });
  dialog.addEventListener("click", (event) => {
    if (isBeside && event.target === dialog) close();
  });
  // The panel belongs to what the browser's back button leaves.
  addEventListener("popstate", close);
  dialog.addEventListener("close", () => {
    removeEventListener("popstate", close);
    dialog.remove();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}
