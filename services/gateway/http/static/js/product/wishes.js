// "More like this" and "less like this" of a product, beside a search.

import { element } from "/js/dom.js";
import { icon } from "/js/icons.js";
import { number, t } from "/js/messages.js";
import { MAX_PARTS, partCount } from "/js/state.js";

/** The two buttons; `onPress` is called before the search changes. */
export function wishButtons(id, actions, { onPress = () => {} } = {}) {
  const state = actions.state();
  const isRefused = partCount(state) >= MAX_PARTS && !state.like.includes(id) && !state.unlike.includes(id);
  const refusal = t("wish.full", { count: number(MAX_PARTS) });
  const wish = (name, list) => {
    const button = element("button", { type: "button", className: "plain", "aria-pressed": String(state[list].includes(id)) }, icon(name), t(`wish.${name}`));
    // A button that is disabled outright could not tell why.
    if (isRefused) Object.assign(button, { ariaDisabled: "true", title: refusal, ariaDescription: refusal });
    button.addEventListener("click", () => {
      if (isRefused) return;
      onPress();
      actions[name](id);
    });
    return button;
  };
  return [wish("more", "like"), wish("less", "unlike")];
}
