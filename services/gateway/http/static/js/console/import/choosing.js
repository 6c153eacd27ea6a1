// The first step: which files.

import { element } from "/js/dom.js";
import { chosenFiles, droppedFiles } from "/js/console/import/files.js";
import { icon } from "/js/icons.js";
import { t } from "/js/messages.js";

const EXAMPLE = `id,image,title,colour,price
4711,4711.jpg|4711-back.jpg,Red canvas shoe,Red|White,"59,90 EUR"
4712,https://cdn.shop.example/4712.jpg,Black boot,Black,129`;

/** The place where files are chosen; `give` takes them as {path, file}. They can be dropped anywhere until the signal. */
export function choosing(give, signal) {
  const folder = picker("import.choose.folder", "folder", { webkitdirectory: true }, give);
  const files = picker("import.choose.files", "upload", { multiple: true }, give);
  const drop = element(
    "div",
    { className: "import-drop" },
    icon("upload"),
    element("p", { className: "import-lead" }, t("import.choose.drop")),
    element("div", { className: "row" }, folder, files),
    element("p", { className: "quiet" }, t("import.choose.limits")),
  );
  takeDrops(drop, give, signal);
  return element(
    "section",
    { className: "import-step", "aria-labelledby": "import-title" },
    element("h2", { id: "import-title", tabIndex: -1 }, t("import.choose.title")),
    element("p", { className: "import-intro" }, t("import.choose.intro")),
    drop,
    help(),
  );
}

function picker(key, sign, properties, give) {
  const input = element("input", { type: "file", className: "visually-hidden", tabIndex: -1, "aria-label": t(key), ...properties });
  const button = element("button", { type: "button", className: key.endsWith("folder") ? "primary" : "plain short" }, icon(sign), t(key));
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    const chosen = chosenFiles(input.files);
    // The same files can be chosen again, after they were changed.
    input.value = "";
    if (chosen.length) give(chosen);
  });
  return [button, input];
}

/** A file that misses its place would otherwise be opened instead of the page. */
function takeDrops(place, give, signal) {
  const mark = (isOver) => place.classList.toggle("over", isOver);
  const listen = (name, act) => document.addEventListener(name, act, { signal });
  listen("dragover", (event) => {
    event.preventDefault();
    mark(true);
  });
  listen("dragleave", (event) => mark(Boolean(event.relatedTarget)));
  listen("drop", async (event) => {
    event.preventDefault();
    mark(false);
    const dropped = await droppedFiles(event.dataTransfer);
    if (dropped.length) give(dropped);
  });
}

function help() {
  return element(
    "details",
    { className: "import-help" },
    element("summary", {}, t("import.help.title")),
    element("p", {}, t("import.help.table")),
    element("pre", { tabIndex: 0, "aria-label": t("import.help.example") }, EXAMPLE),
    element("ul", {}, ["columns", "values", "photos", "alone"].map((name) => element("li", {}, t(`import.help.${name}`)))),
  );
}
