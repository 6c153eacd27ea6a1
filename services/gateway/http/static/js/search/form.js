// The search form.

import { byId, element } from "/js/dom.js";

export class SearchForm {
  constructor(place, actions) {
    Object.assign(this, { place, actions });
  }

  draw() {
    const words = element("input", { type: "search", id: "words", "aria-label": "What are you looking for?" });
    const photo = element("input", { type: "file", id: "photo", accept: "image/*", "aria-label": "Search with a photo" });
    photo.addEventListener("change", () => this.actions.usePhoto(photo.files[0]));
    const form = element("form", { className: "search", role: "search" }, words, photo, element("button", { className: "primary" }, "Search"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const { photo: kept, like, unlike } = this.actions.state();
      this.actions.ask({ words: words.value.trim(), photo: kept, like, unlike });
    });
    this.place.replaceChildren(form);
  }

  show(state) {
    this.type(state.words);
  }

  typed() {
    return byId("words").value.trim();
  }

  type(words) {
    byId("words").value = words;
  }

  choosePhoto() {
    byId("photo").click();
  }
}
