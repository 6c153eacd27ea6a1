// The products of a group side by side, what differs between them marked.

import { element } from "/js/dom.js";
import { icon } from "/js/icons.js";
import { measure, price, t } from "/js/messages.js";
import { idOf, picture, spoken, titleOf, valuesOf } from "/js/products.js";

const PRICE = "price";

/** What `product` says of an attribute, as a text; empty where it says nothing. */
function told(product, name) {
  const words = (value) => {
    if (typeof value === "boolean") return t(value ? "duplicates.yes" : "duplicates.no");
    return typeof value === "number" ? (name === PRICE ? price(value) : measure(value)) : value;
  };
  return valuesOf(product, name).map(words).join(", ");
}

/** The attributes that any of the products has, the price first, with their texts. */
function compared(products) {
  const names = new Set(products.flatMap((product) => Object.keys(product.attributes ?? {})));
  const ordered = [...names].sort((one, other) => Number(other === PRICE) - Number(one === PRICE) || (one < other ? -1 : 1));
  return [
    ...ordered.map((name) => ({ label: spoken(name), texts: products.map((product) => told(product, name)) })),
    { label: t("duplicates.description"), texts: products.map((product) => product.description ?? "") },
  ].filter(({ texts }) => texts.some(Boolean));
}

/** A table with a column for each product; `remove(product)` is what its button does. */
export function comparison({ products, photos, catalog, remove, caption }) {
  const heads = products.map((product) => element("th", { scope: "col" }, head(product, photos.get(idOf(product)))));
  const rows = compared(products).map(({ label, texts }) => {
    const differs = new Set(texts).size > 1;
    return element(
      "tr",
      { className: differs ? "differs" : "" },
      element("th", { scope: "row" }, label, differs ? element("span", { className: "visually-hidden" }, ` (${t("duplicates.differs")})`) : null),
      texts.map((text) => element("td", {}, text || "–")),
    );
  });
  const actions = products.map((product) => element("td", {}, buttons(product, catalog, remove)));
  return element(
    "div",
    { className: "alike-scroll", tabIndex: 0, role: "region", "aria-label": caption },
    element(
      "table",
      {},
      element("caption", { className: "visually-hidden" }, caption),
      element("thead", {}, element("tr", {}, element("td", {}), heads)),
      element("tbody", {}, rows, element("tr", { className: "acts" }, element("th", { scope: "row" }, t("duplicates.actions")), actions)),
    ),
  );
}

function head(product, photoId) {
  return [picture(product, photoId), element("span", { className: "alike-title" }, titleOf(product)), element("span", { className: "quiet" }, idOf(product))];
}

function buttons(product, catalog, remove) {
  const title = titleOf(product);
  const id = idOf(product);
  const button = element("button", { type: "button", className: "plain short", "data-product": id, "aria-label": t("duplicates.delete.of", { title, id }) }, icon("trash"), t("duplicates.delete"));
  button.addEventListener("click", () => remove(product));
  const address = `/?${new URLSearchParams({ catalog, item: id })}`;
  return element("div", { className: "alike-buttons" }, button, element("a", { href: address, "aria-label": t("duplicates.open.of", { title, id }) }, t("duplicates.open")));
}
