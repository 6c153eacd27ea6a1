// The frame around the part of a photo, moved and resized with mouse, finger or keys.

import { element } from "/js/dom.js";
import { t } from "/js/messages.js";
import { grown, isWhole, moved, spanned, stretched } from "/js/search/box.js";

const STEP = 0.02;
// Corners lie above edges, since they are harder to hit.
const HANDLES = [["top"], ["bottom"], ["left"], ["right"], ["top", "left"], ["top", "right"], ["bottom", "left"], ["bottom", "right"]];
const ARROWS = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };

export class Frame {
  /** `stage` is the element that the photo fills; `help` the id of the instructions. */
  constructor(stage, box, help) {
    this.stage = stage;
    this.shade = element("div", { className: "shade" });
    const handles = HANDLES.map((edges) => {
      const handle = element("span", { className: edges.length > 1 ? "handle corner" : "handle" });
      handle.dataset.edges = edges.join(" ");
      handle.addEventListener("pointerdown", (event) => this.hold(event, (at) => stretched(this.box, edges, at)));
      return handle;
    });
    this.node = element("div", { className: "frame", tabIndex: 0, role: "group", "aria-label": t("crop.frame"), "aria-describedby": help }, handles);
    stage.append(this.shade, this.node);
    this.listen();
    this.show(box);
  }

  listen() {
    this.node.addEventListener("keydown", (event) => {
      const arrow = ARROWS[event.key];
      if (!arrow) return;
      event.preventDefault();
      this.show((event.shiftKey ? grown : moved)(this.box, ...arrow));
    });
    this.node.addEventListener("pointerdown", (event) => {
      // A frame around all of the photo has nowhere to go: what is drawn on it is a new one.
      if (isWhole(this.box)) return;
      const start = this.pointOf(event);
      const { box } = this;
      this.hold(event, ({ x, y }) => moved(box, x - start.x, y - start.y));
    });
    // Beside the frame too.
    this.stage.addEventListener("pointerdown", (event) => {
      const start = this.pointOf(event);
      this.hold(event, (at) => spanned(start, at) ?? this.box);
    });
    this.stage.addEventListener("pointermove", (event) => {
      if (event.pointerId === this.pointer) this.show(this.follow(this.pointOf(event)));
    });
    for (const end of ["pointerup", "pointercancel"]) {
      this.stage.addEventListener(end, () => {
        this.pointer = null;
      });
    }
  }

  /** From now on the pointer's way decides the box, by `follow`. */
  hold(event, follow) {
    event.preventDefault();
    event.stopPropagation();
    this.pointer = event.pointerId;
    this.follow = follow;
    this.stage.setPointerCapture(event.pointerId);
    this.node.focus({ focusVisible: false });
  }

  pointOf({ clientX, clientY }) {
    const { left, top, width, height } = this.stage.getBoundingClientRect();
    return { x: (clientX - left) / width, y: (clientY - top) / height };
  }

  show(box) {
    this.box = box;
    this.node.classList.toggle("whole", isWhole(box));
    const [left, top, right, bottom] = [box.left, box.top, box.right, box.bottom].map((edge) => `${edge * 100}%`);
    const { style } = this.node;
    [style.left, style.top] = [left, top];
    style.width = `${(box.right - box.left) * 100}%`;
    style.height = `${(box.bottom - box.top) * 100}%`;
    const hole = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]];
    const edge = ["0 0", "100% 0", "100% 100%", "0 100%", "0 0"];
    this.shade.style.clipPath = `polygon(evenodd, ${[...edge, ...hole.map((point) => point.join(" "))].join(", ")})`;
  }
}
