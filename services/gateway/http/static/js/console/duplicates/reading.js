// The products that look alike, read from the catalogue.

import * as api from "/js/api.js";
import { idOf } from "/js/products.js";

const PAGE = 100;
const AT_ONCE = 6;
const NOT_FOUND = 404;

/** The product of that id, or null when it is not there any more. */
export async function read(catalog, id) {
  try {
    return await api.getProduct(catalog, id);
  } catch (error) {
    if (error instanceof api.Problem && error.status === NOT_FOUND) return null;
    throw error;
  }
}

/** Products that name near duplicates, page by page, and those that they name. */
export class Reading {
  /** By id; null for one that is gone. */
  #known = new Map();
  #token = "";
  hasMore = true;

  constructor(catalog) {
    this.catalog = catalog;
  }

  /** The products that are there, by id. */
  get products() {
    return new Map([...this.#known].filter(([, product]) => product));
  }

  /** Reads a further page. */
  async more() {
    const { products, next_page_token: token } = await api.listProducts(this.catalog, { page_size: PAGE, page_token: this.#token, near_duplicates_only: true });
    for (const product of products) this.#known.set(idOf(product), product);
    const named = products.flatMap((product) => product.near_duplicates.map((near) => near.product.split("/").pop()));
    const missing = [...new Set(named)].filter((id) => !this.#known.has(id));
    const next = async () => {
      for (let id = missing.pop(); id !== undefined; id = missing.pop()) this.#known.set(id, await read(this.catalog, id));
    };
    await Promise.all(Array.from({ length: AT_ONCE }, next));
    this.#token = token;
    this.hasMore = Boolean(token);
  }

  /** Reads some products anew, after somebody changed them. */
  async again(ids) {
    for (const id of ids) this.#known.set(id, await read(this.catalog, id));
  }

  forget(id) {
    this.#known.set(id, null);
  }
}
