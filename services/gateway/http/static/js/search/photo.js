// Pictures that the visitor gives, made ready for a search.

import { bytes, t } from "/js/messages.js";
import { decoded, draw } from "/js/search/drawing.js";

/** What the gateway takes of one photo at most, and up to what size it is sent as it is. */
export const MAX_BYTES = 20_000_000;
export const SENT_AS_IS_BYTES = 1_500_000;
const LONGEST_SIDE_PX = 1600;
const QUALITY = 0.9;
// What the server reads: other kinds are made into JPEG, whatever their size.
const READ = ["image/avif", "image/bmp", "image/gif", "image/jpeg", "image/png", "image/tiff", "image/webp"];
// Systems that do not know these kinds of pictures give their files no type.
const UNTYPED = /\.(avif|heic|heif|jxl)$/i;

/** A file that cannot be searched with; its message says why, in words for the visitor. */
export class Unusable extends Error {}

/**
 * What to send of a file: {blob, name}. Small pictures stay as they are, byte for byte; larger ones, and kinds that the
 * server does not read, are drawn anew where the browser can decode them. Raises Unusable.
 */
export async function prepared(file) {
  const name = file.name || t("photo.yours");
  if (!file.type.startsWith("image/") && (file.type || !UNTYPED.test(name))) throw new Unusable(t("photo.no_picture", { name }));
  if (file.size > MAX_BYTES) throw new Unusable(t("photo.too_large", { name, size: bytes(MAX_BYTES) }));
  const isSentAsIs = file.size <= SENT_AS_IS_BYTES && READ.includes(file.type);
  return { blob: isSentAsIs ? file : await drawnAnew(file), name };
}

async function drawnAnew(file) {
  const bitmap = await decoded(file);
  // The server reads kinds that a browser may not, and says so itself when it cannot.
  if (!bitmap) return file;
  const canvas = draw(new OffscreenCanvas(1, 1), bitmap, { longest: LONGEST_SIDE_PX });
  bitmap.close();
  const small = await canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY });
  return small.size < file.size || !READ.includes(file.type) ? small : file;
}
