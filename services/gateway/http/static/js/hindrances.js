// Why nothing can be searched, with the ways out of it: [problem, remedies], as js/results/results.js tells them.

import { catalogIds } from "/js/catalogue.js";
import { t } from "/js/messages.js";
import { RETRY } from "/js/problems.js";
import { isPhotoElsewhere } from "/js/state.js";

const CATALOGS_OFFERED = 12;

const hindrance = (title, detail, ...ways) => [{ title, detail }, { [RETRY]: ways }];

/** A file that cannot be searched with; `why` is said in words. */
export const unusablePhoto = (why, choosePhoto) => hindrance(t("photo.unusable"), why, [t("photo.other"), choosePhoto]);

/** A query whose photo the browser does not have, or not any more; `goOn` searches with what else is asked, if anything. */
export function photoGone(choosePhoto, goOn) {
  const [name, offer] = isPhotoElsewhere() ? ["photo.elsewhere", t("form.photo")] : ["photo.gone", t("photo.other")];
  const ways = [[offer, choosePhoto], ...(goOn ? [[t("photo.without"), goOn]] : [])];
  return hindrance(t(name), t(`${name}.why`), ...ways);
}

/** An address of a catalogue that is not there; `choose` takes another one's id. */
export function unknownCatalog(id, catalogs, choose) {
  const offers = catalogIds(catalogs).slice(0, CATALOGS_OFFERED).map((other) => [other, () => choose(other)]);
  return hindrance(t("catalogue.unknown", { name: id }), t("catalogue.choose"), ...offers);
}

export const noCatalogs = () => hindrance(t("catalogue.none"), t("catalogue.index"));

/** Catalogues that cannot be read, for a problem of the API. */
export const unreadCatalogs = (problem) => [problem, { [RETRY]: [[t("problem.retry"), () => location.reload()]] }];
