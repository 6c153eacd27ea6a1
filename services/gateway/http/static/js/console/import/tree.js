// Photos without a table: each file is a product, those that differ in the suffix only are photos of one.

import { breath } from "/js/console/import/breath.js";
import { productId, stem } from "/js/console/import/identifiers.js";
import { problem } from "/js/console/import/problems.js";

/** The same as `Tree` of vitrine/catalogs/tree.py; see TableSource for what it gives. */
export class TreeSource {
  columns = null;
  furtherRows = 0;

  /** `entries` are {path, file} of photos, with paths within the folder that was given. */
  constructor(entries, known) {
    this.known = known;
    this.groups = new Map();
    const sorted = [...entries].sort((one, other) => (one.path < other.path ? -1 : 1));
    for (const { path, file } of sorted) {
      const folders = path.slice(0, path.lastIndexOf("/") + 1);
      const key = folders + stem(path.slice(folders.length));
      this.groups.set(key, [...(this.groups.get(key) ?? []), file]);
    }
    this.total = this.groups.size;
    this.rowCount = this.groups.size;
  }

  async survey() {}

  async *items() {
    let row = 0;
    for (const [key, files] of this.groups) {
      await breath();
      row += 1;
      const id = productId(key);
      const most = this.known.max_photos;
      if (files.length > most) yield problem(row, "import.problem.photos", { most }, id);
      const title = key.slice(key.lastIndexOf("/") + 1).replace(/[^\p{L}\p{N}]+/gu, " ").trim();
      const attributes = new Map(id === key ? [] : [["source_id", [{ text: key }]]]);
      yield { id, title, description: "", attributes, photos: files.slice(0, most), row };
    }
  }
}
