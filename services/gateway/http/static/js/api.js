// The HTTP API of the gateway, as everybody has it: see /docs/.

import { currentKey, newKey } from "/js/key.js";

/** An error with the fields of the problem details that the gateway answered with. */
export class Problem extends Error {
  constructor({ title = "", detail = "", status = 0, reason = "", field = "", retry_after = null, trace_id = "" }) {
    super(detail);
    Object.assign(this, { title, detail, status, reason, field, retryAfter: retry_after, traceId: trace_id });
  }
}

/** The reason of a problem that is the page's own: no answer came, or none that can be read. */
export const NO_CONNECTION = "NO_CONNECTION";

/** What the network gives. A connection may end in the middle of an answer, and what is between may answer instead. */
async function given(promise) {
  try {
    return await promise;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ reason: NO_CONNECTION });
  }
}

/**
 * The JSON that an address answers with; raises Problem. Whoever has no key that is valid is asked for one, unless
 * `asksForKey` is false.
 */
export async function request(path, options = {}, { asksForKey = true } = {}) {
  for (;;) {
    const key = currentKey();
    const headers = { ...options.headers, ...(key ? { "x-api-key": key } : {}) };
    const response = await given(fetch(path, { ...options, headers }));
    if (response.ok) return given(response.json());
    const isProblem = response.headers.get("content-type") === "application/problem+json";
    const problem = new Problem({ status: response.status, ...(isProblem ? await given(response.json()) : {}) });
    if (problem.status !== 401 || !asksForKey || !(await newKey(key))) throw problem;
  }
}

const json = (method, body) => ({ method, body: JSON.stringify(body), headers: { "content-type": "application/json" } });

const query = (parameters) => {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== "" && value !== false);
  return given.length ? `?${new URLSearchParams(given)}` : "";
};

const catalogPath = (catalog) => `/v1/catalogs/${encodeURIComponent(catalog)}`;
const productPath = (catalog, id) => `${catalogPath(catalog)}/products/${encodeURIComponent(id)}`;

export const listCatalogs = async () => (await request(`/v1/catalogs${query({ page_size: 1000 })}`)).catalogs;
export const getCatalog = async (catalog) => (await request(catalogPath(catalog))).catalog;
export const createCatalog = async (id) => (await request("/v1/catalogs", json("POST", { catalog_id: id }))).catalog;

/** One page of products, as answered; `parameters` are page_size, page_token, near_duplicates_only. */
export const listProducts = (catalog, parameters) => request(`${catalogPath(catalog)}/products${query(parameters)}`);
export const getProduct = async (catalog, id, options = {}) => (await request(productPath(catalog, id), options)).product;
export const deleteProduct = (catalog, id, etag = "") => request(`${productPath(catalog, id)}${query({ etag })}`, { method: "DELETE" });
/** Writes products; `requestId` is a UUID, with which a call that is made again writes nothing twice. */
export const upsertProducts = (catalog, products, requestId) =>
  request(`${catalogPath(catalog)}/products:batchUpsert`, json("POST", { products, request_id: requestId }));

export const createGeneration = (catalog) => request(`${catalogPath(catalog)}/generations`, { method: "POST" });
export const activateGeneration = (catalog, id) => request(`${catalogPath(catalog)}/generations/${id}:activate`, { method: "POST" });
export const deleteGeneration = (catalog, id) => request(`${catalogPath(catalog)}/generations/${id}`, { method: "DELETE" });

/** Searches with a form: see js/query.js. */
export const search = (catalog, form, signal) => request(`${catalogPath(catalog)}:search`, { method: "POST", body: form, signal });

/** Tells what the visitor made of a hit. Nobody waits for it, and its failure is nobody's concern. */
export function recordFeedback(catalog, queryId, product, kind, place) {
  const path = `${catalogPath(catalog)}/queries/${encodeURIComponent(queryId)}:feedback`;
  request(path, { ...json("POST", { product, kind, place }), keepalive: true }, { asksForKey: false }).catch((error) => {
    if (!(error instanceof Problem)) throw error;
  });
}

export const listQueries = (catalog, parameters) => request(`${catalogPath(catalog)}/queries${query(parameters)}`);
export const queryStats = (catalog, parameters = {}) => request(`${catalogPath(catalog)}/queries:stats${query(parameters)}`);

export const getStatus = () => request("/v1/status");
export const getModels = async () => (await request("/v1/models")).models;
