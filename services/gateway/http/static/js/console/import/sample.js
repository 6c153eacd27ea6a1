// The first products of an import as they would be written.

import { element } from "/js/dom.js";
import { measure, price, t } from "/js/messages.js";
import { spoken } from "/js/products.js";

const ATTRIBUTES = 6;

const shown = (value) => value.text ?? (value.flag === undefined ? measure(value.number) : t(value.flag ? "import.yes" : "import.no"));

/** Cards of products; `urls` collects the addresses of their photos, to be revoked when they are shown no more. */
export function sample(drafts, urls) {
  return element("ul", { className: "import-sample" }, drafts.map((draft) => card(draft, urls)));
}

function card({ id, title, attributes, photos }, urls) {
  const listed = [...attributes].filter(([name]) => name !== "price");
  const [amount] = attributes.get("price") ?? [];
  return element(
    "li",
    {},
    thumbnail(photos, urls),
    element("h4", {}, title || id),
    element("p", { className: "quiet" }, id),
    amount ? element("p", { className: "price" }, price(amount.number)) : null,
    element("dl", {}, listed.slice(0, ATTRIBUTES).map(([name, values]) => [element("dt", {}, spoken(name)), element("dd", {}, values.map(shown).join(", "))])),
    listed.length > ATTRIBUTES ? element("p", { className: "quiet" }, t("import.sample.more", { count: listed.length - ATTRIBUTES })) : null,
  );
}

function thumbnail(photos, urls) {
  const [photo] = photos;
  const isFile = typeof photo !== "string";
  const place = element("div", { className: "picture" });
  if (isFile) {
    const url = URL.createObjectURL(photo);
    urls.push(url);
    const image = element("img", { src: url, alt: "", width: 160, height: 200 });
    // The gateway reads kinds of pictures that the browser does not.
    image.addEventListener("error", () => image.replaceWith(element("span", { className: "none" }, photo.name)));
    place.append(image);
  } else {
    // The page shows pictures of the gateway alone.
    place.append(element("span", { className: "none" }, t("import.sample.web", { host: URL.canParse(photo) ? new URL(photo).host : photo })));
  }
  if (photos.length > 1) place.append(element("span", { className: "count" }, t("import.sample.photos", { count: photos.length })));
  return place;
}
