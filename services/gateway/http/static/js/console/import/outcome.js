// The last step: what became of the import.

import { problemText } from "/js/console/import/problems.js";
import { report } from "/js/console/import/report.js";
import { element } from "/js/dom.js";
import { icon } from "/js/icons.js";
import { number, t } from "/js/messages.js";

const SHOWN_PROBLEMS = 100;
const FILE = "import-problems.csv";

/** What is shown of a run that has ended; `again` begins another import. */
export function outcome(run, again) {
  const { catalog, written, unchanged, failed, alike, wasStopped } = run;
  const problems = [...run.problems].sort((one, other) => one.row - other.row);
  const other = element("button", { type: "button", className: "plain short" }, t("import.end.again"));
  other.addEventListener("click", again);
  const title = wasStopped ? "import.end.stopped" : failed ? "import.end.partly" : "import.end.well";
  return element(
    "section",
    { className: "import-step", "aria-labelledby": "import-title" },
    element("h2", { id: "import-title", tabIndex: -1 }, t(title, { catalog })),
    element("dl", { className: "import-counts" }, [["written", written], ["unchanged", unchanged], ["failed", failed]].map(([name, count]) => [
      element("div", { className: count ? name : "" }, element("dt", {}, t(`import.end.${name}`)), element("dd", {}, number(count))),
    ])),
    wasStopped ? element("p", {}, t("import.end.rest")) : null,
    alike ? element("p", {}, element("a", { href: `/console/?catalog=${encodeURIComponent(catalog)}#duplicates` }, t("import.end.alike", { count: alike }))) : null,
    element(
      "div",
      { className: "import-actions row" },
      element("a", { className: "primary", href: `/?catalog=${encodeURIComponent(catalog)}` }, t("import.end.shop")),
      other,
    ),
    problems.length ? failures(problems) : null,
  );
}

function failures(problems) {
  const save = element("button", { type: "button", className: "plain short" }, icon("download"), t("import.end.save"));
  save.addEventListener("click", () => {
    const url = URL.createObjectURL(report(problems));
    element("a", { href: url, download: FILE }).click();
    URL.revokeObjectURL(url);
  });
  const rows = problems.slice(0, SHOWN_PROBLEMS).map((one) =>
    element("tr", {}, element("td", { className: "number" }, String(one.row)), element("td", {}, one.id || "–"), element("td", {}, problemText(one))),
  );
  const heads = ["row", "product", "reason"].map((name) => element("th", { scope: "col" }, t(`import.end.${name}`)));
  return element(
    "div",
    { className: "import-failures" },
    element("div", { className: "import-heading" }, element("h3", {}, t("import.end.problems", { count: problems.length })), save),
    element(
      "div",
      { className: "import-scroll", tabIndex: 0, role: "region", "aria-label": t("import.end.problems", { count: problems.length }) },
      element("table", {}, element("thead", {}, element("tr", {}, heads)), element("tbody", {}, rows)),
    ),
    problems.length > SHOWN_PROBLEMS ? element("p", { className: "quiet" }, t("import.end.more", { count: problems.length - SHOWN_PROBLEMS })) : null,
  );
}
