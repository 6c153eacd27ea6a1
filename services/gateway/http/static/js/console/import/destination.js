// The catalogue that an import is written into: one that there is, or a new one.

import { element } from "/js/dom.js";
import { t } from "/js/messages.js";

const ID = "[a-z0-9][a-z0-9\\-]{0,62}";

/**
 * The fields; `changed` is called whenever another catalogue is meant.
 *
 * `aim()` is {id, isNew} as the fields are now, where the id of a new one may be missing or wrong still. `chosen()` is the
 * same, or null when the new id cannot be one, which the field then says.
 */
export function destination(catalogs, current, changed) {
  const isKnown = catalogs.includes(current);
  const select = element("select", { id: "import-catalog", "aria-label": t("import.into.which") }, catalogs.map((id) => element("option", { value: id, selected: id === current }, id)));
  const existing = element("input", { type: "radio", name: "import-into", id: "import-existing", checked: isKnown, disabled: !catalogs.length });
  const fresh = element("input", { type: "radio", name: "import-into", id: "import-new", checked: !isKnown });
  const input = element("input", {
    id: "import-id", type: "text", pattern: ID, maxLength: 63, spellcheck: false, autocomplete: "off", autocapitalize: "off",
    "aria-label": t("import.into.id"), "aria-describedby": "import-id-hint",
  });
  const hint = element("p", { id: "import-id-hint", className: "quiet" });
  const aim = () => (existing.checked ? { id: select.value, isNew: false } : { id: input.value, isNew: true });
  const refuse = (message) => {
    input.setCustomValidity(message);
    hint.textContent = message || t("import.into.rule");
    hint.classList.toggle("refused", Boolean(message));
    if (message) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  };
  const show = () => {
    // Who walks through the form with the Tab key shall not choose the other way by passing its field.
    select.tabIndex = existing.checked ? 0 : -1;
    input.tabIndex = existing.checked ? -1 : 0;
    input.required = !existing.checked;
    for (const [radio, field] of [[existing, select], [fresh, input]]) field.classList.toggle("unused", !radio.checked);
    refuse("");
  };
  const turn = () => {
    show();
    changed();
  };
  const choose = (radio) => {
    if (radio.checked) return;
    radio.checked = true;
    turn();
  };
  existing.addEventListener("change", turn);
  fresh.addEventListener("change", () => {
    turn();
    input.focus();
  });
  select.addEventListener("focus", () => choose(existing));
  select.addEventListener("change", changed);
  input.addEventListener("focus", () => choose(fresh));
  for (const event of ["input", "compositionend"]) {
    input.addEventListener(event, ({ isComposing }) => {
      // What a keyboard is still putting together must be left to it.
      if (!isComposing) normalise(input);
      refuse("");
      changed();
    });
  }
  const fields = element(
    "fieldset",
    { className: "import-into" },
    element("legend", {}, t("import.into.title")),
    element("div", { className: "choice", hidden: !catalogs.length }, existing, element("label", { htmlFor: existing.id }, t("import.into.existing")), select),
    element("div", { className: "choice" }, fresh, element("label", { htmlFor: fresh.id }, t("import.into.new")), input, hint),
    element("p", { className: "quiet", hidden: !catalogs.length }, t("import.into.hint")),
  );
  show();
  return {
    fields,
    aim,
    chosen() {
      if (existing.checked) return aim();
      normalise(input);
      const isTaken = catalogs.includes(input.value);
      // The validity is that of the value alone, without what was said of the one before.
      refuse("");
      refuse(isTaken ? t("import.into.known") : input.validity.valid && input.value ? "" : t("import.into.wrong"));
      if (!input.validity.valid) input.focus();
      return input.validity.valid ? aim() : null;
    },
    refuse,
  };
}

/** Turns what people type for a name into what may be one: lower case, with hyphens for spaces. */
function normalise(input) {
  const settled = input.value.toLowerCase().replaceAll(/\s/g, "-");
  if (settled === input.value) return;
  const place = input.selectionStart;
  input.value = settled;
  input.setSelectionRange(place, place);
}
