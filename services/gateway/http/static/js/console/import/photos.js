// Photos among the files that the visitor gave.

const partsOf = (path) => path.replaceAll("\\", "/").split("/").filter((part) => part && part !== ".");

/** Whether a name is something on the web, rather than a file. */
const isAddress = (name) => name.includes("://");
const isFetchable = (name) => /^https?:\/\//.test(name);

function unquoted(path) {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/** The last part of a path or an address. */
export function fileName(name) {
  const path = isAddress(name) ? unquoted(name.replace(/^[^/]*\/\/[^/?#]*/, "").split(/[?#]/)[0]) : name;
  return partsOf(path).at(-1) ?? "";
}

/**
 * Finds what a table names as photos: in `images/` beside it or beside it, as `vitrine index` does; else wherever
 * among the files that were given, where only one has that name.
 */
export class Photos {
  /** `entries` are {path, file}, `folder` is the path of the table's own, such as "shop/". */
  constructor(entries, folder, known) {
    this.known = known;
    this.byPath = new Map();
    this.byName = new Map();
    for (const { path, file } of entries) {
      if (path.startsWith(folder)) this.byPath.set(path.slice(folder.length), file);
      const name = fileName(path).toLowerCase();
      this.byName.set(name, this.byName.has(name) ? null : file);
    }
  }

  /** The file of that name, with or without its suffix, else the address; null where there is neither. */
  find(name) {
    return this.#file(name) ?? (isFetchable(name) ? name : null);
  }

  #file(name) {
    const parts = isAddress(name) ? [fileName(name)] : partsOf(name);
    if (!this.byName.size || !parts.at(-1) || parts.includes("..")) return null;
    const path = parts.join("/");
    const suffixes = ["", ...this.known.image_suffixes];
    for (const place of [`${this.known.images}/${path}`, path]) {
      for (const suffix of suffixes) if (this.byPath.has(place + suffix)) return this.byPath.get(place + suffix);
    }
    const [found] = suffixes.map((suffix) => this.byName.get(parts.at(-1).toLowerCase() + suffix)).filter(Boolean);
    return found ?? null;
  }
}
