// How much a query has room for.

import { t } from "/js/messages.js";
import { MAX_PARTS, partCount } from "/js/state.js";
import { tell } from "/js/toast.js";

/** Whether a query has no more parts than the API takes; tells the visitor when it has. */
export function fits(state) {
  const hasRoom = partCount(state) <= MAX_PARTS;
  if (!hasRoom) tell(t("form.full", { count: MAX_PARTS }));
  return hasRoom;
}
