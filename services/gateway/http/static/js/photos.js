// The photos that were searched with in this tab, by id. They never leave the browser but for a search.

import { held, hold } from "/js/kept.js";
import { t } from "/js/messages.js";
import { Unusable } from "/js/search/photo.js";

const KEPT = 8;
const INDEX = "photos";
const known = new Map();

const nameOf = (id) => `photo.${id}`;
const kept = () => JSON.parse(held(INDEX) ?? "[]");

/** Keeps a photo for the way back and for a reload; {id, blob, name}. Raises Unusable where it cannot be read. */
export async function keep(blob, name) {
  const text = JSON.stringify({ name, url: await dataUrl(blob, name) });
  const photo = { id: crypto.randomUUID?.() ?? String(Math.random()), blob, name };
  known.set(photo.id, photo);
  if (known.size > KEPT) known.delete(known.keys().next().value);
  holdInTab(photo.id, text);
  return photo;
}

/** Older photos make way, a browser having room for a few megabytes; what finds none even so is kept in memory alone. */
function holdInTab(id, text) {
  const ids = kept();
  const gone = [];
  const isHeld = () => ids.length < KEPT && hold(nameOf(id), text);
  while (!isHeld()) {
    if (!ids.length) {
      for (const [one, its] of gone) hold(nameOf(one), its);
      return;
    }
    const oldest = ids.shift();
    gone.push([oldest, held(nameOf(oldest))]);
    hold(nameOf(oldest), "");
  }
  hold(INDEX, JSON.stringify([...ids, id]));
}

/** The photo of that id, or null when it is not kept any more. */
export function find(id) {
  if (!id) return null;
  if (!known.has(id)) {
    const text = held(nameOf(id));
    if (!text) return null;
    const { name, url } = JSON.parse(text);
    known.set(id, { id, name, blob: blobOf(url) });
  }
  return known.get(id);
}

function dataUrl(blob, name) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result));
    // A file that was changed or removed since it was chosen.
    reader.addEventListener("error", () => reject(new Unusable(t("photo.unread", { name }))));
    reader.readAsDataURL(blob);
  });
}

/** The blob that a data URL in base64 holds. */
function blobOf(url) {
  const [head, data] = url.split(",");
  const content = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  return new Blob([content], { type: head.slice("data:".length).split(";")[0] });
}
