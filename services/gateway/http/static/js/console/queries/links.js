// Ways from the console into the shop.

import { element } from "/js/dom.js";
import { addressOf, emptyState } from "/js/state.js";

/** A link to the shop with a search, of which `part` is what it has of a state. */
export const searchLink = (catalog, part, label) => element("a", { href: addressOf({ ...emptyState(catalog), ...part }) }, label);
