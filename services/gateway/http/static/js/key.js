// The key that the visitor calls the API with, where access is controlled. It is kept until the tab is closed.

import { byId, element } from "/js/dom.js";
import { held, hold } from "/js/kept.js";
import { t } from "/js/messages.js";

const KEPT = "key";
let asking = null;

export const currentKey = () => held(KEPT) ?? "";

/** Asks for a key in place of `refused`; whether there is another one now. All who wait are answered together. */
export async function newKey(refused) {
  if (currentKey() !== refused) return true;
  asking ??= ask(refused).finally(() => {
    asking = null;
  });
  return asking;
}

function ask(refused) {
  const input = element("input", { type: "password", id: "key", autocomplete: "off", required: true, maxLength: 4096 });
  const cancel = element("button", { type: "button", className: "plain" }, t("key.cancel"));
  const form = element(
    "form",
    { method: "dialog", className: "sheet" },
    element("h2", { id: "key-title" }, t("key.title")),
    element("p", {}, refused ? t("key.refused") : t("key.why")),
    element("label", { htmlFor: "key" }, t("key.label")),
    input,
    element("p", { className: "quiet" }, t("key.kept")),
    element("div", { className: "row end" }, cancel, element("button", { type: "submit", className: "primary" }, t("key.use"))),
  );
  const dialog = element("dialog", { className: "key", "aria-labelledby": "key-title" }, form);
  document.body.append(dialog);
  cancel.addEventListener("click", () => dialog.close());
  dialog.showModal();
  return new Promise((resolve) => {
    form.addEventListener("submit", () => {
      hold(KEPT, input.value.trim());
      dialog.returnValue = "used";
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "used");
    });
  });
}

/** Shows a button in the header that forgets the key, while there is one. */
export function offerToForget() {
  const button = byId("forget-key");
  button.hidden = !currentKey();
  button.addEventListener("click", () => {
    hold(KEPT, "");
    location.reload();
  });
}
