// Asking before something is done that shoppers would notice or that cannot be undone.

import * as api from "/js/api.js";
import { said } from "/js/console/parts.js";
import { problemWords } from "/js/console/problems.js";
import { element } from "/js/dom.js";
import { t } from "/js/messages.js";

/**
 * Asks whether to go on, and then does it; whether it was done.
 *
 * `title` asks, `sentences` say what will happen, `label` is the button's and `act` does it. When `act` raises an
 * api.Problem the dialog says so and stays, so that the visitor can try again. `isFinal` marks what cannot be undone:
 * the focus begins on the way out.
 */
export function confirmed({ title, sentences, label, act, isFinal = false }) {
  const problem = element("div", { className: "problem", role: "alert", hidden: true });
  const cancel = element("button", { type: "button", className: "plain short" }, t("confirm.cancel"));
  const go = element("button", { type: "submit", className: isFinal ? "primary final" : "primary" }, label);
  (isFinal ? cancel : go).autofocus = true;
  const form = element(
    "form",
    { method: "dialog", className: "sheet" },
    element("h2", { id: "confirm-title" }, title),
    element("div", { id: "confirm-text", className: "told" }, sentences.map((sentence) => element("p", {}, sentence))),
    problem,
    element("div", { className: "row end" }, cancel, go),
  );
  const dialog = element("dialog", { className: "key", "aria-labelledby": "confirm-title", "aria-describedby": "confirm-text" }, form);
  document.body.append(dialog);
  cancel.addEventListener("click", () => dialog.close());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    go.disabled = true;
    problem.hidden = true;
    try {
      await act();
      dialog.close("done");
    } catch (error) {
      if (!(error instanceof api.Problem)) throw error;
      const { sentence, said: words } = problemWords(error);
      problem.replaceChildren(element("p", {}, sentence), said(words));
      problem.hidden = false;
    } finally {
      go.disabled = false;
    }
  });
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "done");
    });
  });
}
