// The search form: words, photos, and what else the query consists of.

import { byId, element } from "/js/dom.js";
import { icon } from "/js/icons.js";
import { t } from "/js/messages.js";
import { awaitPhotos } from "/js/search/arrivals.js";
import { Chips } from "/js/search/chips.js";
import { Compare } from "/js/search/compare.js";
import { Mix } from "/js/search/mix.js";
import { share } from "/js/search/share.js";
import { Thumb } from "/js/search/thumb.js";
import { hasPictures, isEmpty } from "/js/state.js";

const MAX_WORDS_LENGTH = 1000;

export class SearchForm {
  constructor(place, actions) {
    Object.assign(this, { place, actions });
    this.shown = "";
  }

  /** Builds the form; messages must be loaded. */
  draw() {
    const words = element("input", {
      type: "search", id: "words", name: "q", maxLength: MAX_WORDS_LENGTH, enterKeyHint: "search",
      "aria-label": t("form.words"), placeholder: t("form.placeholder"),
    });
    this.glimpse = new Thumb();
    this.glimpse.node.classList.add("glimpse");
    const form = element(
      "form",
      { className: "search", role: "search", autocomplete: "off" },
      this.glimpse.node,
      words,
      this.photoButton("photo", "photo", "form.photo", "form.photo_short"),
      this.photoButton("camera", "camera", "form.camera", "form.camera_short", "environment"),
      element("button", { type: "submit", className: "primary go" }, icon("search"), element("span", {}, t("form.search"))),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      // A phone's keyboard would stay over the hits.
      if (matchMedia("(pointer: coarse)").matches) words.blur();
      this.submit();
    });
    this.place.replaceChildren(form);
    this.place.after(this.drawQuery());
    awaitPhotos((file) => this.actions.usePhoto(file));
  }

  submit() {
    const state = this.actions.state();
    const words = this.typed();
    // Beside pictures, other words only say more closely what is looked for: the filters still hold.
    if (hasPictures(state)) this.actions.refine({ words });
    else this.actions.ask({ words, mix: state.mix, unlike: state.unlike });
  }

  /** A button for a photo; `capture` names the camera to take it with, in place of a choice. */
  photoButton(id, drawing, label, short, capture = null) {
    const input = element("input", { type: "file", id, accept: "image/*", "aria-label": t(label) });
    // Only phones' browsers have a property for it.
    if (capture) input.setAttribute("capture", capture);
    input.addEventListener("change", () => {
      const [file] = input.files;
      // The same file may be chosen again.
      input.value = "";
      if (file) this.actions.usePhoto(file);
    });
    return element("label", { className: `photo-button ${id}`, title: t(label) }, input, icon(drawing), element("span", {}, t(short)));
  }

  /** What stands below the field while there is a query: it scrolls away, where the field stays. */
  drawQuery() {
    this.chips = new Chips(this.actions, () => byId("words").focus());
    this.mix = new Mix(this.actions);
    this.compare = new Compare(this.actions);
    const button = (name, drawing) =>
      element("button", { type: "button", className: "tool", title: t(`form.${name}`) }, icon(drawing), element("span", {}, t(`form.${name}`)));
    const [send, over] = [button("share", "share"), button("start_over", "restart")];
    send.addEventListener("click", () => share(this.actions.state()));
    over.classList.add("over");
    over.addEventListener("click", () => {
      this.actions.ask({});
      byId("words").focus();
    });
    const tools = element("div", { className: "tools" }, this.mix.node, this.compare.node, element("div", { className: "ends" }, send, over));
    this.query = element("div", { className: "query", role: "group", "aria-label": t("form.query"), hidden: true }, this.chips.node, tools);
    return this.query;
  }

  /** Shows a state: what is typed and not sent yet stays, unless other words are searched for or all is cleared. */
  show(state) {
    if (state.words !== this.shown || isEmpty(state)) this.type(state.words);
    this.shown = state.words;
    this.query.hidden = Boolean(state.item) || isEmpty(state);
    this.glimpse.show(state.photo, state.box);
    this.chips.show(state);
    this.mix.show(state);
    this.compare.show(state);
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
