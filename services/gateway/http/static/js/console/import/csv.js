// Tables of cells with separators, as RFC 4180 has them and spreadsheets write them.

export const SEPARATORS = [",", ";", "\t", "|"];

/** A cell of more characters is no cell, but a quote that is nowhere closed. */
export const MAX_CELL = 131_072;

/** Whichever separator a header's first line has most of. */
export function separatorOf(text) {
  const [line] = text.slice(0, MAX_CELL).split(/[\r\n]/, 1);
  const count = (separator) => line.split(separator).length;
  return SEPARATORS.reduce((best, one) => (count(one) > count(best) ? one : best));
}

/**
 * The records of a text, one after the other: a list of cells each, or null for one with a cell that is too long.
 *
 * A quote opens a cell only at its beginning; what follows a closing quote belongs to the cell as it is.
 */
export function* records(text, separator) {
  const ends = new RegExp(`[${separator}\\r\\n]`, "g");
  let place = 0;

  function quoted() {
    let cell = "";
    for (;;) {
      const quote = text.indexOf('"', place);
      const end = quote < 0 ? text.length : quote;
      cell += text.slice(place, end);
      place = end + 1;
      if (quote < 0 || text[place] !== '"') return cell;
      cell += '"';
      place += 1;
    }
  }

  function plain() {
    ends.lastIndex = place;
    const end = ends.exec(text)?.index ?? text.length;
    const cell = text.slice(place, end);
    place = end;
    return cell;
  }

  while (place < text.length) {
    const cells = [];
    for (;;) {
      let cell = "";
      if (text[place] === '"') {
        place += 1;
        cell = quoted();
      }
      cells.push(cell + plain());
      if (text[place] !== separator) break;
      place += 1;
    }
    place += text.startsWith("\r\n", place) ? 2 : 1;
    yield cells.some((cell) => cell.length > MAX_CELL) ? null : cells;
  }
}
