// The panel in which the visitor chooses a part of the photo.

import { element } from "/js/dom.js";
import { t } from "/js/messages.js";
import { openPanel } from "/js/product/panel.js";
import { isWhole, WHOLE } from "/js/search/box.js";
import { Frame } from "/js/search/frame.js";

const HELP = "crop-help";

/** Lets the visitor choose a part of a photo; the box it ends with, null for all of it, or undefined when cancelled. */
export function choosePart(photo, box) {
  const url = URL.createObjectURL(photo.blob);
  const image = element("img", { src: url, alt: t("crop.photo"), draggable: false });
  const stage = element("div", { className: "stage" }, image);
  const button = (name, className) => element("button", { type: "submit", value: name, className }, t(`crop.${name}`));
  const dialog = openPanel(
    { className: "crop", titleId: "crop-title" },
    element(
      "form",
      { method: "dialog", className: "sheet" },
      element("h2", { id: "crop-title" }, t("crop.title")),
      element("p", { id: HELP, className: "quiet" }, t("crop.help"), " ", element("span", { className: "by-mouse" }, t("crop.keys"))),
      element("div", { className: "easel" }, stage),
      element("div", { className: "row end" }, button("cancel", "plain short"), button("whole", "plain short"), button("use", "primary")),
    ),
  );
  const frame = new Frame(stage, box ?? WHOLE, HELP);
  // Enter takes what is framed: the first button of a form would be the one that cancels.
  frame.node.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    // The key would press what has the focus afterwards.
    event.preventDefault();
    dialog.close("use");
  });
  frame.node.focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      URL.revokeObjectURL(url);
      const chosen = { use: isWhole(frame.box) ? null : frame.box, whole: null };
      resolve(chosen[dialog.returnValue]);
    });
  });
}
