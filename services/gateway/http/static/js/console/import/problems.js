// What is wrong with a row, a photo or a file.

import { has, t } from "/js/messages.js";

/** A file that holds nothing to import; `key` names the message that says why. */
export class NoTable extends Error {
  constructor(key, values = {}) {
    super(key);
    Object.assign(this, { key, values });
  }
}

/** What is wrong with a row; `key` names the message, `row` counts as a spreadsheet does, `id` is the product's. */
export const problem = (row, key, values = {}, id = "") => ({ row, key, values, id });

/** A problem in words; one that the gateway found has its own. */
export const problemText = ({ key, values }) => (has(key) ? t(key, values) : values.said);
