// A product's photos: a big one, thumbnails to choose it by, and a closer look at it.

import { element } from "/js/dom.js";
import { t } from "/js/messages.js";
import { closeButton, openPanel } from "/js/product/panel.js";
import { picture, titleOf } from "/js/products.js";

const TITLE = "closer-title";
// A photo that is enlarged further shows its pixels more than the product.
const MOST_ENLARGED = 1.5;

export class Gallery {
  /** `photoId` is the photo that is big at first. */
  constructor(product, photoId = "") {
    this.product = product;
    this.photos = product.photos ?? [];
    this.big = element("div", { className: "big" });
    this.thumbnails = this.photos.length > 1 ? this.photos.map((photo, place) => this.thumbnail(photo, place)) : [];
    this.place = element("div", { className: "gallery" }, this.big, this.strip());
    this.makeRoom();
    this.show(Math.max(0, this.photos.findIndex((photo) => photo.id === photoId)));
  }

  /** Tells the style sheet how large the photos may become, and their shape: a small one needs no wide column. */
  makeRoom() {
    const known = this.photos.filter(({ width, height }) => width && height);
    if (!known.length) return;
    const most = (side) => MOST_ENLARGED * Math.max(...known.map((photo) => photo[side]));
    this.place.style.setProperty("--photo-width", `${most("width")}px`);
    this.place.style.setProperty("--photo-height", `${most("height")}px`);
    this.place.style.setProperty("--photo-shape", String(most("width") / most("height")));
  }

  strip() {
    if (!this.thumbnails.length) return null;
    const strip = element("div", { className: "strip", role: "group", "aria-label": t("gallery.photos") }, this.thumbnails);
    strip.addEventListener("keydown", (event) => this.onKey(event));
    return strip;
  }

  nameOf(place) {
    return t("gallery.photo", { place: place + 1, count: this.photos.length });
  }

  thumbnail(photo, place) {
    const button = element("button", { type: "button", className: "thumbnail", "aria-label": this.nameOf(place) }, picture(this.product, photo.id));
    button.addEventListener("click", () => this.show(place));
    return button;
  }

  onKey(event) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const count = this.photos.length;
    this.show((this.current + step + count) % count);
    this.thumbnails[this.current].focus();
  }

  show(place) {
    this.current = place;
    const photo = this.photos[place];
    const frame = picture(this.product, photo?.id);
    const image = frame.querySelector("img");
    if (image) Object.assign(image, { loading: "eager", fetchPriority: "high", alt: titleOf(this.product) });
    if (image && photo.width) image.style.maxInlineSize = `${MOST_ENLARGED * photo.width}px`;
    if (image && photo.height) image.style.maxBlockSize = `${MOST_ENLARGED * photo.height}px`;
    const closer = element("button", { type: "button", className: "closer", "aria-label": t("gallery.closer"), title: t("gallery.closer") }, frame);
    closer.addEventListener("click", () => this.lookCloser());
    this.big.replaceChildren(image ? closer : frame);
    this.thumbnails.forEach((button, one) => button.setAttribute("aria-current", String(one === place)));
  }

  /** Opens the photo as large as the window lets it be. */
  lookCloser() {
    const { media_path: path, width, height } = this.photos[this.current];
    const size = width && height ? { width, height } : {};
    openPanel(
      { className: "closer-look", titleId: TITLE },
      element("h2", { id: TITLE, className: "visually-hidden" }, titleOf(this.product)),
      closeButton(),
      element("img", { src: path, alt: titleOf(this.product), ...size }),
    );
  }
}
