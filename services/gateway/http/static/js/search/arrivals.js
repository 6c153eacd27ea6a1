// Photos that are dropped or pasted anywhere on the page.

import { element } from "/js/dom.js";
import { icon } from "/js/icons.js";
import { t } from "/js/messages.js";

/** Hands the first file that is dropped or pasted to `use`. While one is over the page, a curtain says what dropping does. */
export function awaitPhotos(use) {
  const curtain = element("div", { className: "curtain", hidden: true }, icon("photo"), element("p", {}, t("drop.here")));
  document.body.append(curtain);
  addEventListener("paste", (event) => {
    const file = [...event.clipboardData.files].find((one) => one.type.startsWith("image/"));
    if (!file || isBusy()) return;
    event.preventDefault();
    use(file);
  });
  awaitDrops(curtain, use);
}

/** A dialog has the visitor's attention to itself. */
const isBusy = () => document.querySelector("dialog[open]") !== null;

function awaitDrops(curtain, use) {
  // Entering and leaving are counted, since both are told for every element on the way.
  let depth = 0;
  const over = (change) => {
    depth = Math.max(0, depth + change);
    curtain.hidden = depth === 0 || isBusy();
  };
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => hasFiles(event) && over(1));
  addEventListener("dragleave", (event) => hasFiles(event) && over(-1));
  addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    // Otherwise the browser would leave the page to show the file.
    event.preventDefault();
    over(-depth);
    const [file] = event.dataTransfer.files;
    if (file && !isBusy()) use(file);
  });
}
