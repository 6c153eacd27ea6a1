// A photo on its way into the query. Of several the last one arrives, and none where the visitor has gone on meanwhile.

import { t } from "/js/messages.js";
import { keep } from "/js/photos.js";
import { prepared, Unusable } from "/js/search/photo.js";
import { busy } from "/js/toast.js";

let turn = 0;

/** Leaves the photo behind that is on its way: the visitor has done something else. */
export function leaveBehind() {
  turn += 1;
}

/** A file as a photo to search with, once `ready` is settled; null where it was left behind. Raises Unusable. */
export async function arrived(file, ready) {
  leaveBehind();
  const own = turn;
  const done = busy(t("photo.preparing"));
  try {
    await ready;
    const { blob, name } = await prepared(file);
    if (own !== turn) return null;
    const photo = await keep(blob, name);
    return own === turn ? photo : null;
  } catch (error) {
    if (error instanceof Unusable && own !== turn) return null;
    throw error;
  } finally {
    done();
  }
}
