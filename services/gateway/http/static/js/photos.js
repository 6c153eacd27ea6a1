// The photos that were searched with in this tab, by id. They never leave the browser but for a search.

import { held, hold } from "/js/kept.js";

const KEPT = 8;
const INDEX = "photos";
const known = new Map();

const nameOf = (id) => `photo.${id}`;
const kept = () => JSON.parse(held(INDEX) ?? "[]");

/** Keeps a photo for the way back and for a reload; {id, blob, name}. */
export async function keep(blob, name) {
  const photo = { id: crypto.randomUUID?.() ?? String(Math.random()), blob, name };
  known.set(photo.id, photo);
  if (known.size > KEPT) known.delete(known.keys().next().value);
  const text = JSON.stringify({ name, url: await dataUrl(blob) });
  const ids = kept();
  while (ids.length >= KEPT) hold(nameOf(ids.shift()), "");
  // A browser has room for a few megabytes: older photos make way, and what finds no room is kept in memory alone.
  let isKept = hold(nameOf(photo.id), text);
  while (!isKept && ids.length) {
    hold(nameOf(ids.shift()), "");
    isKept = hold(nameOf(photo.id), text);
  }
  hold(INDEX, JSON.stringify(isKept ? [...ids, photo.id] : ids));
  return photo;
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

function dataUrl(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result));
    reader.addEventListener("error", () => reject(reader.error));
    reader.readAsDataURL(blob);
  });
}

/** The blob that a data URL in base64 holds. */
function blobOf(url) {
  const [head, data] = url.split(",");
  const content = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  return new Blob([content], { type: head.slice("data:".length).split(";")[0] });
}
