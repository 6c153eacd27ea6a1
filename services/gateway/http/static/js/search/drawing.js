// Pictures drawn anew: smaller, or a part of them.

import { WHOLE } from "/js/search/box.js";

/**
 * Draws a bitmap, or the part `box` of it in fractions, onto a canvas, which takes its shape: the longer side has at
 * most `longest` pixels. What is transparent becomes white, as the server has it.
 */
export function draw(canvas, bitmap, { box = null, longest }) {
  const { left, top, right, bottom } = box ?? WHOLE;
  const width = (right - left) * bitmap.width;
  const height = (bottom - top) * bitmap.height;
  const scale = Math.min(1, longest / Math.max(width, height));
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const pen = canvas.getContext("2d");
  pen.fillStyle = "white";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.imageSmoothingQuality = "high";
  pen.drawImage(bitmap, left * bitmap.width, top * bitmap.height, width, height, 0, 0, canvas.width, canvas.height);
  return canvas;
}

/** The bitmap of a file, upright as its EXIF data has it; null where the browser cannot decode it. */
export async function decoded(blob) {
  try {
    return await createImageBitmap(blob);
  } catch {
    return null;
  }
}
