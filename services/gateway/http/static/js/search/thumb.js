// A small picture of a photo, or of the part of it that is searched with. What stands beside it says what it is.

import { element } from "/js/dom.js";
import { icon } from "/js/icons.js";
import { decoded, draw } from "/js/search/drawing.js";

const LONGEST_SIDE_PX = 112;

export class Thumb {
  constructor() {
    this.canvas = element("canvas", { width: LONGEST_SIDE_PX, height: LONGEST_SIDE_PX });
    this.node = element("span", { className: "thumb", "aria-hidden": "true", hidden: true }, this.canvas);
    this.drawn = "";
  }

  /** Shows the part `box` of a photo, or nothing without one; false where the browser cannot show it. */
  async show(photo, box) {
    this.node.hidden = !photo;
    const wanted = photo ? JSON.stringify([photo.id, box]) : "";
    if (this.drawn === wanted) return this.isShown;
    this.drawn = wanted;
    this.isShown = photo ? this.draw(photo, box, wanted) : true;
    return this.isShown;
  }

  async draw(photo, box, wanted) {
    const bitmap = await decoded(photo.blob);
    // Another one may be wanted meanwhile.
    if (this.drawn === wanted) {
      this.node.replaceChildren(bitmap ? draw(this.canvas, bitmap, { box, longest: LONGEST_SIDE_PX }) : icon("photo"));
    }
    bitmap?.close();
    return bitmap !== null;
  }
}
