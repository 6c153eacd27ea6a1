// What all pages have in their header: language, colour scheme and the key.

import { byId, element } from "/js/dom.js";
import { remember, remembered } from "/js/kept.js";
import { offerToForget } from "/js/key.js";
import { LANGUAGES, language, speak, t } from "/js/messages.js";

const THEMES = ["auto", "light", "dark"];

function showTheme() {
  const theme = remembered("theme") ?? "auto";
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  byId("theme").setAttribute("aria-label", t(`header.theme.${theme}`));
  byId("theme").title = t(`header.theme.${theme}`);
  byId("theme").dataset.theme = theme;
}

/** Makes the header work; messages must be loaded. */
export function prepareHeader() {
  const select = byId("language");
  select.replaceChildren(
    ...Object.entries(LANGUAGES).map(([code, name]) => element("option", { value: code, lang: code, selected: code === language }, name)),
  );
  select.addEventListener("change", () => speak(select.value));
  byId("theme").addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(remembered("theme") ?? "auto") + 1) % THEMES.length];
    remember("theme", next === "auto" ? "" : next);
    showTheme();
  });
  showTheme();
  offerToForget();
}
