// The part of a photo as fractions {left, top, right, bottom}: how it moves and grows within the photo.

/** The least width and height: smaller parts show too little to search with. */
export const LEAST = 0.1;

/** All of the photo. */
export const WHOLE = { left: 0, top: 0, right: 1, bottom: 1 };

const within = (value, least, most) => Math.min(most, Math.max(least, value));

/** Moved as it is, up to the photo's edges. */
export function moved({ left, top, right, bottom }, x, y) {
  const width = right - left;
  const height = bottom - top;
  const start = { left: within(left + x, 0, 1 - width), top: within(top + y, 0, 1 - height) };
  return { ...start, right: start.left + width, bottom: start.top + height };
}

/** Wider and taller by so much, to the right and down, or the other way where the photo ends. */
export function grown({ left, top, right, bottom }, x, y) {
  const width = within(right - left + x, LEAST, 1);
  const height = within(bottom - top + y, LEAST, 1);
  const start = { left: Math.min(left, 1 - width), top: Math.min(top, 1 - height) };
  return { ...start, right: start.left + width, bottom: start.top + height };
}

/** With an edge, such as ["top"], or the two of a corner, drawn to a point. */
export function stretched(box, edges, { x, y }) {
  const place = {
    left: () => within(x, 0, box.right - LEAST),
    right: () => within(x, box.left + LEAST, 1),
    top: () => within(y, 0, box.bottom - LEAST),
    bottom: () => within(y, box.top + LEAST, 1),
  };
  return { ...box, ...Object.fromEntries(edges.map((edge) => [edge, place[edge]()])) };
}

/** Between two points; null while they are too near to each other. */
export function spanned(one, other) {
  const inside = (value) => within(value, 0, 1);
  const [left, right] = [one.x, other.x].map(inside).sort((a, b) => a - b);
  const [top, bottom] = [one.y, other.y].map(inside).sort((a, b) => a - b);
  return right - left >= LEAST && bottom - top >= LEAST ? { left, top, right, bottom } : null;
}

/** Whether hardly anything is left out. */
export const isWhole = ({ left, top, right, bottom }) => right - left > 0.99 && bottom - top > 0.99;
