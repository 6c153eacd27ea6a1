// The key that the visitor calls the API with, where access is controlled. It is kept until the tab is closed.

import { byId, element } from "/js/dom.js";
import { icon } from "/js/icons.js";
import { held, hold } from "/js/kept.js";
import { t } from "/js/messages.js";

const KEPT = "key";
// What a header of a request can carry, with spaces around it as they come with a copied text.
const PATTERN = "\\s*[\\x21-\\x7e]+\\s*";
let key = held(KEPT) ?? "";
let asking = null;

/** The key, or "" while there is none. */
export const currentKey = () => key;

function use(given) {
  key = given;
  hold(KEPT, given);
  showForget();
}

/** Forgets the key: where access is controlled, whatever is asked next asks for another one. */
export const forgetKey = () => use("");

/** Asks for a key in place of `refused`; whether there is another one now. All who wait are answered together. */
export async function newKey(refused) {
  if (key !== refused) return true;
  asking ??= ask(refused).finally(() => {
    asking = null;
  });
  return asking;
}

function ask(refused) {
  const why = element("p", { id: "key-why" }, refused ? t("key.refused") : t("key.why"));
  const input = element("input", {
    type: "password", id: "key", autocomplete: "off", spellcheck: false, autofocus: true, required: true,
    maxLength: 4096, pattern: PATTERN, title: t("key.letters"), "aria-describedby": "key-why", "aria-invalid": String(Boolean(refused)),
  });
  const cancel = element("button", { type: "button", className: "plain short" }, t("key.cancel"));
  const form = element(
    "form",
    { method: "dialog", className: "sheet" },
    element("h2", { id: "key-title" }, t("key.title")),
    why,
    element("label", { htmlFor: "key" }, t("key.label")),
    input,
    element("p", { className: "quiet" }, t("key.kept")),
    element("div", { className: "row end" }, cancel, element("button", { type: "submit", className: "primary" }, t("key.use"))),
  );
  const dialog = element("dialog", { className: "key", "aria-labelledby": "key-title" }, form);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    let isGiven = false;
    cancel.addEventListener("click", () => dialog.close());
    form.addEventListener("submit", () => {
      use(input.value.trim());
      isGiven = true;
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(isGiven);
    });
  });
}

function showForget() {
  byId("forget-key").hidden = !key;
}

/** Shows a button in the header that forgets the key, while there is one. */
export function offerToForget() {
  const button = byId("forget-key");
  button.replaceChildren(icon("key"));
  button.addEventListener("click", () => {
    use("");
    location.reload();
  });
  showForget();
}
