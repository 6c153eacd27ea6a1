// What went wrong, in words for a shopper.

/** The remedies that the page can offer. */
export const RETRY = "retry";
export const OTHER_PHOTO = "other photo";
export const CLEAR_FILTERS = "clear filters";

const AGAIN = "Please try again in a moment.";
const BY_STATUS = {
  413: ["This photo is too large", "Try a smaller one."],
  429: ["Many people are searching just now", AGAIN],
  503: ["The search is not available right now", AGAIN],
  504: ["The search took too long", AGAIN],
};

/** A title, a sentence and a remedy for a problem; one that the page itself found has its own words. */
export function explained(problem) {
  const { title, detail = "", status = 0, reason = "", field = "" } = problem;
  if (!status) return { title, sentence: detail, remedy: RETRY };
  if (/^parts\[\d+\]\.image/.test(field)) return { ...photoExplained(reason), remedy: OTHER_PHOTO };
  if (field.startsWith("filter")) {
    return { title: "These filters do not fit this catalogue", sentence: "Clear them to see what there is.", remedy: CLEAR_FILTERS };
  }
  if (status === 404) {
    return { title: "This is not there any more", sentence: "The product or its catalogue has been removed. Search for something else.", remedy: RETRY };
  }
  const [known, sentence] = BY_STATUS[status] ?? ["That did not work", "Please try again, or search for something else."];
  return { title: known, sentence, remedy: status === 413 ? OTHER_PHOTO : RETRY };
}

function photoExplained(reason) {
  // Everything else is about what the file is.
  if (reason === "IMAGE_TOO_LARGE") return { title: "This photo is too large", sentence: "Try a smaller one." };
  return { title: "This photo cannot be used", sentence: "This file is not a picture we can read. Try a JPEG, PNG or WebP." };
}
