// Parts of a whole as they are written: rounded, and still adding up.

/**
 * Values rounded to `digits` decimals so that they add up to their own rounded sum.
 *
 * Each is rounded down, and those that lost most get a unit back: the largest remainder method of Hamilton.
 */
export function rounded(values, digits) {
  const unit = 10 ** digits;
  const exact = values.map((value) => value * unit);
  const whole = exact.map(Math.floor);
  const sum = (list) => list.reduce((total, one) => total + one, 0);
  const lacking = Math.round(sum(exact)) - sum(whole);
  const places = [...exact.keys()].sort((one, other) => exact[other] - whole[other] - (exact[one] - whole[one]));
  for (const place of places.slice(0, lacking)) whole[place] += 1;
  return whole.map((value) => value / unit);
}
