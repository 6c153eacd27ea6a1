// What all pages have in their header: language, colour scheme and the key.

import { idOfCatalog } from "/js/catalogue.js";
import { byId, element } from "/js/dom.js";
import { icon } from "/js/icons.js";
import { remember, remembered } from "/js/kept.js";
import { offerToForget } from "/js/key.js";
import { LANGUAGES, language, speak, t } from "/js/messages.js";

/** The colour schemes in the order that the button goes through, with their icons. */
const THEMES = { auto: "contrast", light: "sun", dark: "moon" };

const keptTheme = () => (Object.hasOwn(THEMES, remembered("theme") ?? "") ? remembered("theme") : "auto");
let theme = keptTheme();

function showTheme() {
  const button = byId("theme");
  button.setAttribute("aria-label", t(`header.theme.${theme}`));
  button.title = t(`header.theme.${theme}`);
  button.replaceChildren(icon(THEMES[theme]));
}

function chooseTheme() {
  const names = Object.keys(THEMES);
  theme = names[(names.indexOf(theme) + 1) % names.length];
  remember("theme", theme === "auto" ? "" : theme);
  // js/theme.js applies it.
  dispatchEvent(new CustomEvent("theme", { detail: theme }));
  showTheme();
}

function prepareTheme() {
  byId("theme").addEventListener("click", chooseTheme);
  addEventListener("storage", () => {
    theme = keptTheme();
    showTheme();
  });
  showTheme();
}

function prepareLanguage() {
  const select = byId("language");
  select.replaceChildren(
    ...Object.entries(LANGUAGES).map(([code, name]) => element("option", { value: code, lang: code, selected: code === language }, name)),
  );
  // On a narrow screen the code stands for the name.
  select.parentElement.dataset.code = language.toUpperCase();
  select.addEventListener("change", () => speak(select.value));
}

/** Offers the catalogues to choose from, with how many products each has; with only one there is nothing to choose. */
export function offerCatalogs(catalogs) {
  byId("catalog").replaceChildren(
    ...catalogs.map((one) => {
      const id = idOfCatalog(one);
      return element("option", { value: id }, t("header.products", { name: id, count: Number(one.product_count) }));
    }),
  );
  byId("catalog-picker").hidden = catalogs.length < 2;
}

/** Makes the header work; messages must be loaded. */
export function prepareHeader() {
  // Followed as a link it would be a step in the history, and to the page another address.
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    byId("main").focus();
  });
  prepareLanguage();
  prepareTheme();
  offerToForget();
}
