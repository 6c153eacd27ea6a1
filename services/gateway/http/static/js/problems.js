// What went wrong, in words for a shopper.

import { NO_CONNECTION } from "/js/api.js";
import { has, t } from "/js/messages.js";

/** The remedies that the page can offer. */
export const RETRY = "retry";
export const OTHER_PHOTO = "other photo";
export const CLEAR_FILTERS = "clear filters";

// Seconds that are "in a moment".
const SHORT_WAIT = 2;

const said = (name, remedy = RETRY) => ({ title: t(`problem.${name}.title`), sentence: t(`problem.${name}.sentence`), remedy });

/** A title, a sentence and a remedy for a problem; one that the page itself found has its own words. */
export function explained(problem) {
  const { title, detail = "", status = 0, reason = "", field = "", retryAfter = null } = problem;
  if (reason === NO_CONNECTION) return said("connection");
  if (!status) return { title, sentence: detail, remedy: RETRY };
  if (/^parts\[\d+\]\.image/.test(field)) return said(reason === "IMAGE_TOO_LARGE" ? "large" : "unreadable", OTHER_PHOTO);
  if (field.startsWith("filter")) return said("filter", CLEAR_FILTERS);
  if (status === 413) return said("large", OTHER_PHOTO);
  const told = said(has(`problem.${status}.title`) ? String(status) : "other");
  const wait = Math.ceil(retryAfter ?? 0);
  return wait > SHORT_WAIT ? { ...told, sentence: t("problem.wait", { count: wait }) } : told;
}
