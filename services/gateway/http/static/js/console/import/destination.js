// The catalogue that an import is written into: one that there is, or a new one.

import { element } from "/js/dom.js";
import { t } from "/js/messages.js";

const ID = "[a-z0-9][a-z0-9\\-]{0,62}";

/** The fields; `chosen()` is {id, isNew}, or null when the new id cannot be one, which the field then says. */
export function destination(catalogs, current) {
  const select = element("select", { id: "import-catalog" }, catalogs.map((id) => element("option", { value: id, selected: id === current }, id)));
  const existing = element("input", { type: "radio", name: "import-into", id: "import-existing", checked: Boolean(catalogs.length), disabled: !catalogs.length });
  const fresh = element("input", { type: "radio", name: "import-into", id: "import-new", checked: !catalogs.length });
  const input = element("input", {
    id: "import-id", type: "text", pattern: ID, maxLength: 63, spellcheck: false, autocomplete: "off", autocapitalize: "off",
    "aria-describedby": "import-id-hint",
  });
  const show = () => {
    select.disabled = !existing.checked;
    input.disabled = existing.checked;
    input.required = !existing.checked;
    if (existing.checked) refuse("");
  };
  const refuse = (message) => {
    input.setCustomValidity(message);
    hint.textContent = message || t("import.into.hint");
    hint.classList.toggle("refused", Boolean(message));
    if (message) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  };
  const hint = element("p", { id: "import-id-hint", className: "quiet" }, t("import.into.hint"));
  for (const radio of [existing, fresh]) radio.addEventListener("change", show);
  input.addEventListener("input", () => refuse(""));
  show();
  const fields = element(
    "fieldset",
    { className: "import-into" },
    element("legend", {}, t("import.into.title")),
    element("div", { className: "choice", hidden: !catalogs.length }, existing, element("label", { htmlFor: existing.id }, t("import.into.existing")), select),
    element("div", { className: "choice" }, fresh, element("label", { htmlFor: fresh.id }, t("import.into.new")), input),
    hint,
  );
  select.setAttribute("aria-label", t("import.into.which"));
  input.setAttribute("aria-label", t("import.into.id"));
  return {
    fields,
    chosen() {
      if (existing.checked) return { id: select.value, isNew: false };
      const isKnown = catalogs.includes(input.value);
      refuse(isKnown ? t("import.into.known") : input.validity.valid && input.value ? "" : t("import.into.wrong"));
      if (!input.validity.valid) input.focus();
      return input.validity.valid ? { id: input.value, isNew: true } : null;
    },
    refuse,
  };
}
