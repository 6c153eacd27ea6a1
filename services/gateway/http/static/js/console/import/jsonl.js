// JSON Lines: one object a line, in UTF-8.

export const MAX_LINE_BYTES = 4 << 20;
const MAX_DEPTH = 8;
const MAX_DIGITS = 40;
const NEWLINE = 10;

/** The objects of a file's bytes with the numbers of their lines, [number, Map of values by name]; null for no object. */
export function* objects(bytes) {
  let number = 0;
  for (let start = 0; start < bytes.length; ) {
    const newline = bytes.indexOf(NEWLINE, start);
    const end = newline < 0 ? bytes.length : newline;
    number += 1;
    const text = end - start > MAX_LINE_BYTES ? null : decoded(bytes.subarray(start, end));
    if (text === null) yield [number, null];
    else if (text.trim()) yield [number, members(text)];
    start = end + 1;
  }
}

function decoded(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
}

/** The values of an object by name; what lies in its `attributes` has its own name, all else the path that leads to it. */
function members(line) {
  let found;
  try {
    found = JSON.parse(line, exact);
  } catch {
    return null;
  }
  if (typeof found !== "object" || found === null || Array.isArray(found)) return null;
  const values = new Map();
  for (const [name, value] of Object.entries(found)) {
    const isEnvelope = name === "attributes" && typeof value === "object" && value !== null && !Array.isArray(value);
    flatten(isEnvelope ? "" : name, value, values, MAX_DEPTH);
  }
  return values;
}

/** Keeps the digits of an integer that JavaScript would round, such as an article's number. */
function exact(_name, value, context) {
  const isRounded = typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value);
  return isRounded && /^-?\d+$/.test(context?.source ?? "") ? context.source.slice(0, MAX_DIGITS) : value;
}

function flatten(name, value, into, depth) {
  if (Array.isArray(value)) {
    for (const each of depth ? value : []) flatten(name, each, into, depth - 1);
  } else if (typeof value === "object" && value !== null) {
    for (const [inner, each] of depth ? Object.entries(value) : []) {
      flatten(name ? `${name}.${inner}` : inner, each, into, depth - 1);
    }
  } else if (typeof value === "string" ? value.trim() : typeof value === "boolean" || Number.isFinite(value)) {
    if (!into.has(name)) into.set(name, []);
    into.get(name).push(typeof value === "string" ? value.trim() : value);
  }
}
