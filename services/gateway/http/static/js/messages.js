// The texts of the page in the visitor's language, and numbers, prices and times as that language writes them.
//
// A message has placeholders such as `{count}`, and is an object of plural forms where its words depend on `count`.

import { remember, remembered } from "/js/kept.js";

export const LANGUAGES = { en: "English", de: "Deutsch", fr: "Français" };
const ENGLISH = "en";

function chosenLanguage() {
  const wishes = [remembered("language"), ...navigator.languages];
  return wishes.map((wish) => wish?.split("-")[0]).find((code) => Object.hasOwn(LANGUAGES, code ?? "")) ?? ENGLISH;
}

/** The code of the language in use. */
export const language = chosenLanguage();

// The region of the visitor's own settings counts where it goes with the language: 12.5 is 12,5 in de-DE alone.
const locale = navigator.languages.find((wish) => wish.split("-")[0] === language) ?? language;
const plural = new Intl.PluralRules(locale);
const messages = new Map();

/** Loads catalogues of messages, such as `shop`; to be awaited before any text is asked for. */
export async function load(...catalogues) {
  document.documentElement.lang = language;
  const loaded = await Promise.all(catalogues.map((name) => fetch(`/messages/${name}.${language}.json`)));
  for (const response of loaded) {
    for (const [key, message] of Object.entries(await response.json())) messages.set(key, message);
  }
}

/** Whether there is a message of that key. */
export const has = (key) => messages.has(key);

/** The message of a key, its placeholders filled in; numbers among the values are written as numbers. */
export function t(key, values = {}) {
  const message = messages.get(key);
  if (message === undefined) throw new Error(`there is no message ${key}`);
  const text = typeof message === "string" ? message : message[plural.select(values.count)] ?? message.other;
  return text.replace(/\{(\w+)\}/g, (_, name) => {
    if (values[name] === undefined) throw new Error(`the message ${key} needs ${name}`);
    return typeof values[name] === "number" ? number(values[name]) : values[name];
  });
}

/** Puts messages into markup: `data-text` is the content, `data-label`, `data-placeholder` and `data-title` attributes. */
export function translate(root = document) {
  const attributes = { label: "aria-label", placeholder: "placeholder", title: "title" };
  root.querySelectorAll("[data-text]").forEach((node) => {
    node.textContent = t(node.dataset.text);
  });
  for (const [name, attribute] of Object.entries(attributes)) {
    root.querySelectorAll(`[data-${name}]`).forEach((node) => node.setAttribute(attribute, t(node.dataset[name])));
  }
}

/** Changes the language: the page is loaded again, at the same address. */
export function speak(code) {
  remember("language", code);
  location.reload();
}

/** A number as the language writes it, with as many decimals as there are, `digits` at most. */
export const number = (value, digits = 0) => value.toLocaleString(locale, { maximumFractionDigits: digits });

/** A number that may be a year or a size: without marks between its thousands. */
export const measure = (value) => value.toLocaleString(locale, { maximumFractionDigits: 6, useGrouping: false });

/** A number with exactly so many decimals. */
export const fixed = (value, digits) =>
  value.toLocaleString(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits });

/** A share, 0 to 1, in percent. */
export const percent = (share) => share.toLocaleString(locale, { style: "percent", maximumFractionDigits: 0 });

/** Texts of which one holds: "shoes or boots". */
export const alternatives = (texts) => new Intl.ListFormat(locale, { type: "disjunction" }).format(texts);

/** A price, of which the catalogue tells no currency. */
export const price = (amount) => fixed(amount, Number.isInteger(amount) ? 0 : 2);

/** A date with its time, of an ISO text. */
export const time = (text) => new Date(text).toLocaleString(locale, { dateStyle: "medium", timeStyle: "short" });

const UNITS = [["second", 60], ["minute", 60], ["hour", 24], ["day", Infinity]];
const relative = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });

/** How long ago an ISO text's time is. */
export function ago(text) {
  let span = (Date.parse(text) - Date.now()) / 1000;
  for (const [unit, size] of UNITS) {
    if (Math.abs(span) < size) return relative.format(Math.round(span), unit);
    span /= size;
  }
  return "";
}

/** A size of data in bytes, in the unit that suits it. */
export function bytes(size) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
  let place = 0;
  let amount = size;
  while (amount >= 1000 && place < units.length - 1) {
    amount /= 1000;
    place += 1;
  }
  return amount.toLocaleString(locale, { style: "unit", unit: units[place], unitDisplay: "short", maximumFractionDigits: amount < 10 && place ? 1 : 0 });
}

/** A span of time, given in milliseconds, in the unit that suits it; the symbols are those of the SI in every language. */
export function span(ms) {
  let amount = ms;
  let unit = "ms";
  for (const [larger, size] of [["s", 1000], ["min", 60], ["h", 60]]) {
    if (amount < size) break;
    amount /= size;
    unit = larger;
  }
  const digits = amount < 1 ? 2 : amount < 10 ? 1 : 0;
  return `${number(amount, digits)}\u00A0${unit}`;
}

/** The time of day of a Date, to the second. */
export const clock = (date) => date.toLocaleTimeString(locale, { timeStyle: "medium" });
