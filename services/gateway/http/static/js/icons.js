// The page's icons: lines on a grid of 24, in the colour of the text beside them.

const SVG = "http://www.w3.org/2000/svg";

const PATHS = {
  search: ["M10.5 4.5a6 6 0 1 0 0 12a6 6 0 1 0 0-12z", "M15 15l5 5"],
  camera: ["M4 8h3l1.6-2.4h6.8L17 8h3v11H4z", "M12 10a3.2 3.2 0 1 0 0 6.4a3.2 3.2 0 1 0 0-6.4z"],
  photo: ["M4 5h16v14H4z", "M4 16l4.5-4.5L13 16l2.5-2.5L20 17.5", "M15.5 8.4a1 1 0 1 0 0 2a1 1 0 1 0 0-2z"],
  crop: ["M7 3v14h14", "M3 7h14v14"],
  share: ["M12 15V4", "M8 7.5L12 3.5l4 4", "M7 11H5v9.5h14V11h-2"],
  close: ["M6 6l12 12", "M18 6L6 18"],
  more: ["M7.5 11.2l4-7.7c1.7 0 2.7 1.3 2.4 2.9l-.6 3.1h4.9a2 2 0 0 1 2 2.4l-1.2 6a2 2 0 0 1-2 1.6H7.5z", "M7.5 11.2H4v8.3h3.5"],
  less: ["M16.5 12.8l-4 7.7c-1.7 0-2.7-1.3-2.4-2.9l.6-3.1H5.8a2 2 0 0 1-2-2.4l1.2-6a2 2 0 0 1 2-1.6h9.5z", "M16.5 12.8H20V4.5h-3.5"],
  cheaper: ["M4 4.5h7.5l8.5 8.5-7 7L4.5 11.5z", "M8.2 7.7a1 1 0 1 0 0 2a1 1 0 1 0 0-2z"],
  info: ["M12 3.5a8.5 8.5 0 1 0 0 17a8.5 8.5 0 1 0 0-17z", "M12 11v5.5", "M12 7.6v.1"],
  back: ["M19 12H5", "M11 6l-6 6 6 6"],
  filter: ["M4 6h16", "M7 12h10", "M10 18h4"],
  restart: ["M5.6 9.5a7 7 0 1 1-.6 4.3", "M5 4.8v4.9h4.9"],
  sun: ["M12 8a4 4 0 1 0 0 8a4 4 0 1 0 0-8z", "M12 2.5v2", "M12 19.5v2", "M2.5 12h2", "M19.5 12h2", "M5.3 5.3l1.4 1.4", "M17.3 17.3l1.4 1.4", "M5.3 18.7l1.4-1.4", "M17.3 6.7l1.4-1.4"],
  moon: ["M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z"],
  key: ["M8 11a4 4 0 1 0 0 8a4 4 0 1 0 0-8z", "M11 12.2L20 3.5", "M16.5 7l3 3"],
  check: ["M5 12.5l4.5 4.5L19 7.5"],
  warning: ["M12 4L2.5 20h19z", "M12 10v4.5", "M12 17.2v.1"],
  clock: ["M12 3.5a8.5 8.5 0 1 0 0 17a8.5 8.5 0 1 0 0-17z", "M12 7.5V12l3 2"],
  swap: ["M5 8h13", "M15 5l3 3-3 3", "M19 16H6", "M9 13l-3 3 3 3"],
  folder: ["M3.5 6h6l2 2.5h9v10.5h-17z"],
  upload: ["M12 15.5V4.5", "M7.5 9L12 4.5L16.5 9", "M4.5 15v4.5h15V15"],
  download: ["M12 4.5v11", "M7.5 11L12 15.5L16.5 11", "M4.5 15v4.5h15V15"],
  trash: ["M4.5 7h15", "M9.5 7V4.5h5V7", "M6.5 7l1 12.5h9l1-12.5"],
  copy: ["M8.5 8.5h11v11h-11z", "M5 15.5v-11h11"],
};

/** An icon by its name, such as `camera`; it says nothing to screen readers, so what it stands in needs a name. */
export function icon(name) {
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("viewBox", "0 0 24 24");
  drawing.setAttribute("width", "20");
  drawing.setAttribute("height", "20");
  drawing.setAttribute("class", "glyph");
  drawing.setAttribute("aria-hidden", "true");
  for (const path of PATHS[name]) {
    const line = document.createElementNS(SVG, "path");
    line.setAttribute("d", path);
    drawing.append(line);
  }
  return drawing;
}
