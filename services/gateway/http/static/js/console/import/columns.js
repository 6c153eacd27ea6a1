// What the columns of a shop's table mean. The names come from columns.json, which is made of what `vitrine index` knows.

import { request } from "/js/api.js";

/** What a column can be chosen to hold. Of photos there may be several columns, of the other fields one each. */
export const ROLES = ["id", "image", "title", "description", "price", "attribute", "ignore"];
export const IMAGE = "image";
export const ATTRIBUTE = "attribute";
export const IGNORE = "ignore";
const FIELDS = ROLES.slice(0, 5);
const MAX_NAME = 64;

/** The table of names, as the server has it; raises Problem. */
export const knownColumns = () => request("/columns.json");

/** A header as an attribute's name, `[a-z][a-z0-9_]{0,63}`: `baseColour` is `base_colour`. May be empty. */
export function snakeCase(header) {
  const words = header.trim().replace(/(?<=[a-z0-9])(?=[A-Z])/g, "_").toLowerCase();
  const name = words.replace(/[^a-z0-9]+/g, "_").replace(/^_+|_+$/g, "");
  return (/^\d/.test(name) ? `column_${name}` : name).slice(0, MAX_NAME).replace(/_+$/, "");
}

const joined = (name) => name.replaceAll("_", "");

export const isImage = (name) => /^image(?:_\d+)?$/.test(name);

function numbered(name, indices) {
  return indices.map((index, place) => [place ? `${name}_${place + 1}` : name, index]);
}

/** What a column of photos beside the first is called, such as `imageUrl2`. */
function furtherImage({ aliases }) {
  return new RegExp(`^(?:(?:${aliases[IMAGE].map(joined).join("|")})\\d{1,2}|additionalimage(?:link|url)s?)$`);
}

/**
 * Which column holds what: a Map from our name, or the attribute's, to the index.
 *
 * `roles`, one a header, are the visitor's choice; without it the names alone say. A column that is left over but has
 * the name of one of ours becomes `source_<name>`. The same as `assign` of vitrine/catalogs/columns.py.
 */
export function assign(headers, known, roles = null) {
  const found = namesOf(headers, known, roles);
  const columns = new Map();
  const further = furtherImage(known);
  // Of photos the first column has the product's main photo, whatever the order of the headers.
  const usual = roles ? [...assign(headers, known).values()] : [];
  const place = (index) => (usual.includes(index) ? usual.indexOf(index) : usual.length + index);
  for (const [field, aliases] of Object.entries(known.aliases)) {
    let picked = [];
    if (roles && FIELDS.includes(field)) {
      picked = headers.map((_, index) => index).filter((index) => roles[index] === field);
      picked.sort((one, other) => place(one) - place(other));
    } else {
      const names = new Map([...found.keys()].reverse().map((name) => [joined(name), name]));
      const taken = [names.get(aliases.map(joined).find((alias) => names.has(alias)))].filter(Boolean);
      if (field === IMAGE) taken.push(...[...found.keys()].filter((name) => name !== taken[0] && further.test(joined(name))));
      picked = taken.map((name) => found.get(name));
      taken.forEach((name) => found.delete(name));
    }
    for (const [name, index] of numbered(field, picked)) columns.set(name, index);
  }
  for (const [name, index] of found) {
    const own = Object.hasOwn(known.aliases, name) ? `source_${name}` : name;
    if (columns.size < known.max_attributes && !columns.has(own)) columns.set(own, index);
  }
  return columns;
}

/** The columns whose names are looked at, by name. One that the visitor wants as an attribute always has a name. */
function namesOf(headers, known, roles) {
  const found = new Map();
  headers.forEach((header, index) => {
    const name = snakeCase(header);
    if (roles && roles[index] !== ATTRIBUTE) return;
    if (name && !found.has(name) && (roles || !known.ignored.includes(name))) found.set(name, index);
    else if (roles) found.set(`column_${index + 1}`, index);
  });
  return found;
}

/** The role of each header in what `assign` gave. */
export function rolesOf(headers, columns) {
  const roles = headers.map(() => IGNORE);
  for (const [name, index] of columns) {
    roles[index] = isImage(name) ? IMAGE : FIELDS.includes(name) ? name : ATTRIBUTE;
  }
  return roles;
}

/** The roles after the visitor has chosen one: what only one column can hold, the other column holds no more. */
export function chosen(roles, index, role) {
  const isSingle = FIELDS.includes(role) && role !== IMAGE;
  return roles.map((one, place) => (place === index ? role : isSingle && one === role ? ATTRIBUTE : one));
}
