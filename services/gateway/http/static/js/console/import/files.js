// The files that the visitor chose or dropped, and what among them is to be imported.

import { assign } from "/js/console/import/columns.js";
import { fileName, Photos } from "/js/console/import/photos.js";
import { NoTable } from "/js/console/import/problems.js";
import { TableSource } from "/js/console/import/rows.js";
import { readTable } from "/js/console/import/tables.js";
import { TreeSource } from "/js/console/import/tree.js";

const MAX_FILES = 50_000;
const MAX_DEPTH = 16;
const PRODUCTS = "products";

const isVisible = ({ path }) => !path.split("/").some((part) => part.startsWith("."));

/** The files of an input, as {path, file}. */
export const chosenFiles = (files) => [...files].map((file) => ({ path: file.webkitRelativePath || file.name, file }));

/** The files that were dropped, those in folders too. To be called while the event is handled. */
export function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  return entries.length ? withinAll(entries) : Promise.resolve(chosenFiles(transfer.files));
}

async function withinAll(entries) {
  const found = [];
  for (const entry of entries) await gather(entry, "", MAX_DEPTH, found);
  return found;
}

async function gather(entry, folder, depth, into) {
  const path = folder + entry.name;
  if (into.length >= MAX_FILES) return;
  if (entry.isFile) {
    into.push({ path, file: await new Promise((resolve, reject) => entry.file(resolve, reject)) });
    return;
  }
  const reader = entry.createReader();
  // A reader gives a hundred at a time, and none at the end.
  for (let some = depth ? await listed(reader) : []; some.length; some = await listed(reader)) {
    for (const one of some) await gather(one, `${path}/`, depth - 1, into);
  }
}

const listed = (reader) => new Promise((resolve, reject) => reader.readEntries(resolve, reject));

/** What is to be imported: `name`, `photoCount` and `source(roles)`, which is a TableSource or a TreeSource. Raises NoTable. */
export async function opened(entries, known) {
  if (entries.length > MAX_FILES) throw new NoTable("import.files.many", { count: MAX_FILES });
  const visible = entries.filter(isVisible);
  const hasSuffix = (suffixes) => ({ path }) => suffixes.some((suffix) => path.toLowerCase().endsWith(suffix));
  const photos = visible.filter(hasSuffix(known.image_suffixes));
  const tables = visible.filter(hasSuffix([...known.csv_suffixes, ...known.json_suffixes]));
  if (tables.length) return openedTable(tableAmong(tables), photos, known);
  if (!photos.length) throw new NoTable("import.files.none");
  const within = withoutFolder(photos);
  return { name: "", table: null, photoCount: photos.length, source: () => new TreeSource(within, known) };
}

/** The table to take of several: that called `products`, else the only one of those that lie least deep. */
function tableAmong(tables) {
  const depth = ({ path }) => path.split("/").length;
  const least = Math.min(...tables.map(depth));
  const upper = tables.filter((one) => depth(one) === least);
  if (upper.length === 1) return upper[0];
  const called = upper.filter(({ path }) => fileName(path).toLowerCase().replace(/\.[^.]*$/, "") === PRODUCTS);
  if (called.length === 1) return called[0];
  throw new NoTable("import.files.tables", { names: upper.map(({ path }) => fileName(path)).join(", ") });
}

async function openedTable({ path, file }, entries, known) {
  const name = fileName(path);
  const table = await readTable(file, known);
  const photos = new Photos(entries, path.slice(0, path.length - name.length), known);
  const source = (roles) => new TableSource(table, assign(table.headers, known, roles), photos, known);
  return { name, table, photoCount: entries.length, source };
}

/** Paths within the one folder that all lie in. */
function withoutFolder(entries) {
  const [folder] = entries[0].path.split("/");
  const isOne = entries.every(({ path }) => path.startsWith(`${folder}/`));
  return isOne ? entries.map(({ path, file }) => ({ path: path.slice(folder.length + 1), file })) : entries;
}
