// What is in a cell: a text in which `|` separates values, or a list of values that JSON knows the kinds of.

const SEPARATOR = "|";

export const splitValues = (text) => text.split(SEPARATOR).map((part) => part.trim()).filter(Boolean);

export const valuesIn = (cell) => (typeof cell === "string" ? splitValues(cell) : cell);

/** A value as people write it. */
export const written = (value) => (Number.isInteger(value) ? BigInt(value).toString() : String(value));

export const textsIn = (cell) => valuesIn(cell).map(written);

/** A cell as one text: all of it, or the first of its values. */
export function textIn(cell) {
  if (typeof cell === "string") return cell.trim();
  return cell.length ? written(cell[0]) : "";
}

const TEXT = "text";
const IDENTIFIER = /^(?:.*_)?(?:id|ids|sku|code|ean|gtin|upc|barcode)$/;
// A leading zero, or more digits than a double holds, says that it is a name made of digits.
const NUMBER = /^-?(?:0|[1-9]\d{0,14})(?:\.\d{1,15})?$/;
const FLAG = /^(?:true|false)$/i;

/** What kind a value of an attribute is: text, number or flag; `isText` says that the attribute has texts, whatever they are. */
export function kindOf(name, value, { isCell, isText }) {
  if (isText || IDENTIFIER.test(name)) return TEXT;
  if (typeof value !== "string") return typeof value === "boolean" ? "flag" : "number";
  if (!isCell) return TEXT;
  if (NUMBER.test(value)) return "number";
  return FLAG.test(value) ? "flag" : TEXT;
}

/** A value of a kind, as the API takes it. */
export function typed(kind, value) {
  if (kind === "number") return { number: Number(value) };
  return kind === "flag" ? { flag: String(value).toLowerCase() === "true" } : { text: written(value) };
}

/** The number in a price such as `59`, `$1,299.00` or `59,90 EUR`; null where there is none, or more than one. */
export function priceIn(cell) {
  const numbers = cell.match(/-?\d+(?:[.,' \u00a0]\d+)*/g) ?? [];
  if (numbers.length !== 1) return null;
  const digits = numbers[0].replace(/[' \u00a0]/g, "");
  const pointIsDecimal = digits.includes(".") && digits.lastIndexOf(".") > digits.lastIndexOf(",");
  const isGrouped = pointIsDecimal || /^-?\d{1,3}(?:,\d{3})+$/.test(digits);
  const plain = isGrouped ? digits.replaceAll(",", "") : digits.replaceAll(".", "").replace(",", ".");
  return /^-?\d{1,15}(?:\.\d+)?$/.test(plain) ? Number(plain) : null;
}
