// Products gathered into calls of the API.

import { breath } from "/js/console/import/breath.js";
import { messageOf } from "/js/console/import/message.js";

// As `vitrine index` has it: so much is embedded well within the time that the gateway gives a call.
export const MAX_PRODUCTS = 16;
// Far below what the gateway takes; a product with more photos than that goes alone.
export const MAX_BYTES = 3_000_000;

/**
 * The batches of a source's items: {entries, problems}, where entries are {draft, message}. Problems of rows come with
 * the batch after them, those with `lost` instead of a product.
 */
export async function* batches(catalog, items) {
  let entries = [];
  let problems = [];
  let size = 0;
  for await (const item of items) {
    await breath();
    if (item.key) {
      problems.push(item);
      continue;
    }
    const made = await messageOf(catalog, item);
    problems.push(...made.problems.map((one, place) => ({ ...one, lost: !made.message && place === 0 })));
    if (!made.message) continue;
    const bytes = sizeOf(made.message);
    if (entries.length === MAX_PRODUCTS || (entries.length && size + bytes > MAX_BYTES)) {
      yield { entries, problems };
      [entries, problems, size] = [[], [], 0];
    }
    entries.push({ draft: item, message: made.message });
    size += bytes;
  }
  if (entries.length || problems.length) yield { entries, problems };
}

/** Bytes of a product in JSON: its pictures are ASCII, all else is counted as written. */
function sizeOf({ product: { photos, ...rest } }) {
  const pictures = photos.reduce((sum, { image }) => sum + (image.content ?? image.uri).length + 32, 0);
  return pictures + new TextEncoder().encode(JSON.stringify(rest)).length + 32;
}
