// What all pages have in their header: language, colour scheme and the key.

import { idOfCatalog } from "/js/catalogue.js";
import { byId, element } from "/js/dom.js";
import { icon } from "/js/icons.js";
import { remember, remembered } from "/js/kept.js";
import { offerToForget } from "/js/key.js";
import { LANGUAGES, language, speak, t } from "/js/messages.js";

/** The icons of the colour schemes. */
const THEMES = { light: "sun", dark: "moon" };
const system = matchMedia("(prefers-color-scheme: dark)");

const systemTheme = () => (system.matches ? "dark" : "light");
const keptTheme = () => (Object.hasOwn(THEMES, remembered("theme") ?? "") ? remembered("theme") : "");
// Where the browser keeps nothing, the choice holds until the page is left; it is "" while the system's scheme holds.
let chosen = keptTheme();
/** The scheme that a click leads to: the one that is not seen. */
const otherTheme = () => ((chosen || systemTheme()) === "dark" ? "light" : "dark");

/** The button says and shows what a click does. */
function showTheme() {
  const button = byId("theme");
  const other = otherTheme();
  button.setAttribute("aria-label", t(`header.theme.${other}`));
  button.title = t(`header.theme.${other}`);
  button.replaceChildren(icon(THEMES[other]));
}

function switchTheme() {
  const other = otherTheme();
  // Who comes back to the system's scheme follows it again.
  chosen = other === systemTheme() ? "" : other;
  remember("theme", chosen);
  // js/theme.js applies it.
  dispatchEvent(new CustomEvent("theme", { detail: chosen }));
  showTheme();
}

function prepareTheme() {
  byId("theme").addEventListener("click", switchTheme);
  system.addEventListener("change", showTheme);
  addEventListener("storage", () => {
    chosen = keptTheme();
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

/** Shows which catalogue is at hand, and lets the links between shop and console carry it. */
export function showCatalog(id) {
  byId("catalog").value = id;
  const search = id ? `?${new URLSearchParams({ catalog: id })}` : "";
  for (const link of document.querySelectorAll("[data-carries=catalog]")) link.setAttribute("href", `${link.pathname}${search}`);
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
