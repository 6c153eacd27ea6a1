// The answers to the last questions, page by page, for the way back.

import { idOf } from "/js/products.js";

const KEPT = 12;
const answers = new Map();

/** Keeps a page of an answer; the first one takes the place of what was there. */
export function keepPage(question, response, { append = false } = {}) {
  const before = append ? pagesOf(question) : [];
  answers.delete(question);
  answers.set(question, [...before, response]);
  if (answers.size > KEPT) answers.delete(answers.keys().next().value);
}

/** The pages of the answer to a question; none when it is not kept. */
export const pagesOf = (question) => answers.get(question) ?? [];

/** The product as the answer had it, {hit, response, place}, where the place counts from 1; null when it had not. */
export function seenIn(question, id) {
  let before = 0;
  for (const response of pagesOf(question)) {
    const place = response.hits.findIndex((hit) => idOf(hit.product) === id);
    if (place >= 0) return { hit: response.hits[place], response, place: before + place + 1 };
    before += response.hits.length;
  }
  return null;
}
