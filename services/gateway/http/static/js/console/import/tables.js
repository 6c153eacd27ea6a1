// Files with tables, as headers and rows of cells. A cell is a text, or a list of values where the file is JSON.

import { breath } from "/js/console/import/breath.js";
import { records, separatorOf } from "/js/console/import/csv.js";
import { objects } from "/js/console/import/jsonl.js";
import { NoTable, problem } from "/js/console/import/problems.js";

export const MAX_TABLE_BYTES = 64 << 20;
const MAX_HEADERS = 1_000;
// What spreadsheets write where Windows-1252 has no character.
const UNUSED = /[\x81\x8d\x8f\x90\x9d]/g;

const isLines = (name, known) => known.json_suffixes.some((suffix) => name.toLowerCase().endsWith(suffix));

/** The table in a file: `headers`, and `rows()`, which gives [number, cells] or a problem each. Raises NoTable. */
export async function readTable(file, known) {
  if (file.size > MAX_TABLE_BYTES) throw new NoTable("import.table.large");
  const bytes = new Uint8Array(await file.arrayBuffer());
  return isLines(file.name, known) ? linesTable(bytes) : csvTable(bytes);
}

function textOf(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder("windows-1252").decode(bytes).replace(UNUSED, "\ufffd");
  }
}

function csvTable(bytes) {
  const text = textOf(bytes);
  const separator = separatorOf(text);
  const headers = records(text, separator).next().value;
  if (!headers?.some((header) => header.trim())) throw new NoTable("import.table.empty");
  return { headers, rows: () => csvRows(text, separator, headers.length) };
}

function* csvRows(text, separator, width) {
  let number = 0;
  for (const cells of records(text, separator)) {
    number += 1;
    if (number === 1) continue;
    if (!cells) yield problem(number, "import.problem.cell");
    else if (cells.slice(width).some((cell) => cell.trim())) {
      yield problem(number, "import.problem.width", { cells: cells.length, width });
    } else if (cells.some((cell) => cell.trim())) {
      yield [number, [...cells.slice(0, width), ...Array(Math.max(0, width - cells.length)).fill("")]];
    }
  }
}

async function linesTable(bytes) {
  const names = new Set();
  for (const [, found] of objects(bytes)) {
    await breath();
    for (const name of found?.keys() ?? []) names.add(name);
  }
  const headers = [...names].slice(0, MAX_HEADERS);
  if (!headers.length) throw new NoTable("import.table.empty");
  return { headers, rows: () => lineRows(bytes, headers) };
}

function* lineRows(bytes, headers) {
  for (const [number, found] of objects(bytes)) {
    if (!found) yield problem(number, "import.problem.line");
    else if (found.size) yield [number, headers.map((header) => found.get(header) ?? [])];
  }
}
