// What an import would do, found by going through all of it without sending anything.

export const SHOWN_PRODUCTS = 5;
const EXAMPLES = 5;

/**
 * Looks through a source: its first products, problems as [{key, count, examples}] with the most frequent first, and
 * how many products will be written and `lost`. Raises the signal's reason when it is aborted.
 */
export async function preview(source, signal) {
  await source.survey(signal);
  const drafts = [];
  const kinds = new Map();
  let products = 0;
  let photos = 0;
  let lost = 0;
  for await (const item of source.items()) {
    signal.throwIfAborted();
    if (item.key) {
      const kind = kinds.get(item.key) ?? { key: item.key, count: 0, examples: [] };
      kind.count += 1;
      if (item.lost) lost += 1;
      if (kind.examples.length < EXAMPLES) kind.examples.push(item);
      kinds.set(item.key, kind);
      continue;
    }
    products += 1;
    photos += item.photos.length;
    if (drafts.length < SHOWN_PRODUCTS) drafts.push(item);
  }
  const problems = [...kinds.values()].sort((one, other) => other.count - one.count);
  return { drafts, problems, products, photos, lost };
}
