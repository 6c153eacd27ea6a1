// Products as the API takes them, photos and all.

import { problem } from "/js/console/import/problems.js";
import { MAX_BYTES, prepared, SENT_AS_IS_BYTES } from "/js/search/photo.js";

/** What to send for a product of a source: {message, problems}, where `message` is null when no photo can be sent. */
export async function messageOf(catalog, { id, title, description, attributes, photos, row }) {
  const problems = [];
  const images = [];
  for (const photo of photos) {
    try {
      images.push({ image: typeof photo === "string" ? { uri: photo } : { content: await base64(await small(photo)) } });
    } catch (error) {
      if (!(error instanceof Unsendable)) throw error;
      problems.push(problem(row, error.key, { name: photo.name }, id));
    }
  }
  if (!images.length) return { message: null, problems };
  const named = Object.fromEntries([...attributes].map(([name, values]) => [name, { values }]));
  const product = { name: `catalogs/${catalog}/products/${id}`, title, description, photos: images, attributes: named };
  return { message: { product }, problems };
}

class Unsendable extends Error {
  constructor(key) {
    super(key);
    this.key = key;
  }
}

/** A large photo in a size that shows as much as anybody looks at. */
async function small(file) {
  if (file.size > MAX_BYTES) throw new Unsendable("import.problem.heavy");
  if (file.size <= SENT_AS_IS_BYTES || !file.type.startsWith("image/")) return file;
  try {
    return (await prepared(file)).blob;
  } catch (error) {
    // The browser may lack the memory to draw it: then it is sent as it is.
    if (error instanceof DOMException) return file;
    throw error;
  }
}

function base64(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result.slice(reader.result.indexOf(",") + 1)));
    // A file that was changed or removed since it was chosen.
    reader.addEventListener("error", () => reject(new Unsendable("import.problem.unread")));
    reader.readAsDataURL(blob);
  });
}
