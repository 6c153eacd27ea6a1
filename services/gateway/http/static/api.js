// The HTTP API of the gateway.

/** An error with the fields of the problem details that the gateway answered with. */
export class Problem extends Error {
  constructor({ title = "", detail, status = 0, reason = "", field = "", retry_after = null, trace_id = "" }) {
    super(detail);
    Object.assign(this, { title, detail, status, reason, field, retryAfter: retry_after, traceId: trace_id });
  }
}

async function fetchJson(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ title: "No connection", detail: "The server does not answer. Is it running?" });
  }
  if (response.ok) return response.json();
  const problem = response.headers.get("content-type") === "application/problem+json" ? await response.json() : {};
  throw new Problem({ status: response.status, detail: `The server answered ${response.status}.`, ...problem });
}

export async function listCatalogs() {
  return (await fetchJson("/v1/catalogs?page_size=1000")).catalogs;
}

export async function listProducts(catalog, pageSize) {
  return (await fetchJson(`/v1/catalogs/${catalog}/products?page_size=${pageSize}`)).products;
}

export async function getProduct(catalog, id) {
  return (await fetchJson(`/v1/catalogs/${catalog}/products/${encodeURIComponent(id)}`)).product;
}

/** Searches; `query` is {words, product, photo} and `options` are fields of SearchRequest. */
export function search(catalog, query, options, signal) {
  const form = new FormData();
  if (query.photo) form.append("image", query.photo);
  if (query.product) form.append("product", query.product);
  if (query.words) form.append("text", query.words);
  for (const [name, value] of Object.entries(options)) {
    if (Array.isArray(value)) value.forEach((item) => form.append(name, item));
    else form.append(name, typeof value === "object" ? JSON.stringify(value) : String(value));
  }
  return fetchJson(`/v1/catalogs/${catalog}:search`, { method: "POST", body: form, signal });
}
