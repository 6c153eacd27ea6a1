// The products in a table: what its rows say, put together by id.

import { breath } from "/js/console/import/breath.js";
import { kindOf, priceIn, splitValues, textIn, textsIn, typed, valuesIn } from "/js/console/import/cells.js";
import { isImage, snakeCase } from "/js/console/import/columns.js";
import { productId, stem } from "/js/console/import/identifiers.js";
import { fileName } from "/js/console/import/photos.js";
import { problem } from "/js/console/import/problems.js";

const TAKEN = new Set(["id", "title", "description", "price", "attributes"]);

/**
 * A table's products. `survey` looks through all rows once, then `items` gives each product at its first row,
 * {id, title, description, attributes, photos, row}, and each problem; one with `lost` costs the product.
 *
 * Attributes are lists of values by name, photos are files and addresses. The same as `Table` of vitrine/catalogs/table.py.
 */
export class TableSource {
  constructor(table, columns, photos, known) {
    Object.assign(this, { table, columns, photos, known });
    this.photoColumns = [...columns].filter(([name]) => isImage(name)).map(([, index]) => index);
    this.attributes = [...columns].filter(([name]) => !isImage(name) && !TAKEN.has(name));
    this.kinds = new Map();
    this.first = new Map();
    this.more = new Map();
    this.rowCount = 0;
    this.badRows = 0;
  }

  /** Products, and rows that are none. */
  get total() {
    return this.first.size + this.badRows;
  }

  /** How many rows belong to a product that an earlier row began. */
  get furtherRows() {
    return [...this.more.values()].reduce((sum, rows) => sum + rows.length, 0);
  }

  async survey(signal) {
    for (const row of this.table.rows()) {
      await breath();
      signal?.throwIfAborted();
      this.rowCount += 1;
      if (Array.isArray(row)) this.#look(...row);
      else this.badRows += 1;
    }
  }

  async *items() {
    for (const row of this.table.rows()) {
      await breath();
      if (!Array.isArray(row)) {
        yield { ...row, lost: true };
        continue;
      }
      const [number, cells] = row;
      const key = this.#key(cells);
      if (!key) yield { ...problem(number, "import.problem.nameless"), lost: true };
      else if (this.first.get(key) === number) yield* this.#product(number, key, cells);
    }
  }

  #look(number, cells) {
    const key = this.#key(cells);
    if (!key) this.badRows += 1;
    else if (this.first.has(key)) this.#further(key, number, cells);
    else this.first.set(key, number);
    for (const [name, index] of this.attributes) {
      if (this.kinds.get(name) === "text") continue;
      for (const value of valuesIn(cells[index])) {
        const kind = kindOf(name, value, { isCell: typeof cells[index] === "string", isText: Object.hasOwn(this.known.aliases, name) });
        this.kinds.set(name, (this.kinds.get(name) ?? kind) === kind ? kind : "text");
      }
    }
  }

  #further(key, number, cells) {
    if (!this.more.has(key)) this.more.set(key, []);
    this.more.get(key).push([number, this.#photoNames(cells)]);
  }

  #text(name, cells) {
    return this.columns.has(name) ? textIn(cells[this.columns.get(name)]) : "";
  }

  #photoNames(cells) {
    return this.photoColumns.flatMap((index) => textsIn(cells[index]));
  }

  /** What the row calls its product: its id, else the name of its first photo. */
  #key(cells) {
    const id = this.#text("id", cells);
    if (id) return id;
    const [name] = this.#photoNames(cells);
    return name ? stem(fileName(name)) : "";
  }

  *#product(number, key, cells) {
    const id = productId(key);
    const photos = [];
    const problems = [];
    for (const [row, names] of [[number, this.#photoNames(cells)], ...(this.more.get(key) ?? [])]) {
      for (const name of names.length ? names : [key]) {
        const photo = this.photos.find(name);
        if (!photo) problems.push(problem(row, "import.problem.photo", { name }, id));
        else if (photos.includes(photo)) continue;
        else if (photos.length === this.known.max_photos) problems.push(problem(row, "import.problem.photos", { most: photos.length }, id));
        else photos.push(photo);
      }
    }
    const price = this.#text("price", cells);
    if (price && priceIn(price) === null) {
      yield { ...problem(number, "import.problem.price", { cell: price }, id), lost: true };
      return;
    }
    // A product without any photo is lost once, whatever number of photos it names.
    if (!photos.length) {
      yield { ...problems[0], lost: true };
      return;
    }
    yield* problems;
    const [title, description] = ["title", "description"].map((name) => this.#text(name, cells));
    // Files come before addresses.
    photos.sort((one, other) => Number(typeof one === "string") - Number(typeof other === "string"));
    yield { id, title, description, attributes: this.#attributes(id, key, cells, price), photos, row: number };
  }

  #attributes(id, key, cells, price) {
    const attributes = new Map(id === key ? [] : [["source_id", [{ text: key }]]]);
    for (const [name, index] of this.attributes) {
      const values = valuesIn(cells[index]);
      if (values.length) attributes.set(name, values.map((value) => typed(this.kinds.get(name), value)));
    }
    if (price) attributes.set("price", [{ number: priceIn(price) }]);
    for (const [name, values] of members(this.#text("attributes", cells))) {
      if (attributes.size < this.known.max_attributes && !attributes.has(name)) attributes.set(name, values);
    }
    return attributes;
  }
}

/** The members of a JSON object that are texts, numbers or flags; of anything else nothing. */
function members(text) {
  let found;
  try {
    found = JSON.parse(text);
  } catch {
    return [];
  }
  if (typeof found !== "object" || found === null || Array.isArray(found)) return [];
  return Object.entries(found)
    .map(([header, value]) => [snakeCase(header), valuesOf(value)])
    .filter(([name, values]) => name && values.length);
}

function valuesOf(value) {
  if (typeof value === "string") return splitValues(value).map((text) => ({ text }));
  if (typeof value === "boolean") return [{ flag: value }];
  return Number.isFinite(value) ? [{ number: value }] : [];
}
