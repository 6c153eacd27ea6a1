// The rows that failed, as a table for a spreadsheet.

import { problemText } from "/js/console/import/problems.js";

const HEADER = ["row", "product", "message"];

/** A cell of CSV. A spreadsheet would run what begins like a formula: an apostrophe in front makes it text. */
function cell(value) {
  const text = String(value);
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** A file of problems, to be downloaded. It begins with a byte order mark, by which spreadsheets know UTF-8. */
export function report(problems) {
  const rows = problems.map((one) => [one.row, one.id, problemText(one)]);
  const text = [HEADER, ...rows].map((cells) => `${cells.map(cell).join(",")}\r\n`).join("");
  return new Blob(["\ufeff", text], { type: "text/csv" });
}
