// How large a picture is, read from the head of its file without decoding it.
//
// Sources: RFC 9649 for WebP with RFC 6386 for its frames, ITU-T T.81 for JPEG, https://www.w3.org/TR/png-3/ for PNG.

const SIZE_BITS = 0x3fff;
// Markers of JPEG that begin a frame are C0 to CF but for these, which begin tables and extensions.
const NO_FRAMES = [0xc4, 0xc8, 0xcc];

const textAt = (view, place) => String.fromCharCode(...[0, 1, 2, 3].map((next) => view.getUint8(place + next)));

function ofWebp(view) {
  const kind = textAt(view, 12);
  if (kind === "VP8 ") return { width: view.getUint16(26, true) & SIZE_BITS, height: view.getUint16(28, true) & SIZE_BITS };
  if (kind === "VP8L") {
    const bits = view.getUint32(21, true);
    return { width: (bits & SIZE_BITS) + 1, height: ((bits >>> 14) & SIZE_BITS) + 1 };
  }
  // Three bytes each, of which the fourth that is read is of what follows or goes before.
  if (kind === "VP8X") return { width: (view.getUint32(24, true) & 0xffffff) + 1, height: (view.getUint32(26, true) >>> 8) + 1 };
  return null;
}

function ofJpeg(view) {
  for (let place = 2; view.getUint8(place) === 0xff; place += 2 + view.getUint16(place + 2)) {
    const marker = view.getUint8(place + 1);
    if (marker >= 0xc0 && marker <= 0xcf && !NO_FRAMES.includes(marker)) {
      return { width: view.getUint16(place + 7), height: view.getUint16(place + 5) };
    }
  }
  return null;
}

const ofPng = (view) => ({ width: view.getUint32(16), height: view.getUint32(20) });

/** The {width, height} in pixels that a file's bytes tell; null for what is no WebP, JPEG or PNG, or ends before. */
export function dimensionsOf(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    if (textAt(view, 0) === "RIFF" && textAt(view, 8) === "WEBP") return ofWebp(view);
    if (view.getUint16(0) === 0xffd8) return ofJpeg(view);
    return textAt(view, 0) === "\x89PNG" ? ofPng(view) : null;
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}
