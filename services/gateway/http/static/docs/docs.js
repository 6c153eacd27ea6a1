// Lists the operations of /openapi.json.

import { byId, element } from "/js/dom.js";

const description = await (await fetch("/openapi.json")).json();

byId("about").textContent = description.info.description.replaceAll("`", "");
for (const [path, methods] of Object.entries(description.paths)) {
  for (const [method, operation] of Object.entries(methods)) {
    byId("operations").append(
      element(
        "section",
        { className: "operation" },
        element("code", {}, `${method.toUpperCase()} ${path}`),
        element("p", {}, (operation.description ?? operation.summary).replaceAll("`", "")),
      ),
    );
  }
}
