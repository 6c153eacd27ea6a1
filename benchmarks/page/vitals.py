"""Web Vitals of a page, as the browser itself tells them.

Sources: Cumulative Layout Shift and Interaction to Next Paint as web.dev defines them, from the entries of
the Layout Instability and Event Timing specifications (W3C).
"""

from __future__ import annotations

from dataclasses import dataclass

from playwright.async_api import Page, Response

# The largest window of layout shifts: at most a second between two and five in all. Of interactions the
# longest, which INP is below fifty of them.
_OBSERVE = """() => {
  window.vitals = { shift: 0, interaction: 0, interactions: 0, slowest: "" };
  let sum = 0, first = 0, last = 0;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      if (entry.hadRecentInput) continue;
      const isNew = entry.startTime - last > 1000 || entry.startTime - first > 5000;
      if (isNew) [sum, first] = [0, entry.startTime];
      sum += entry.value;
      last = entry.startTime;
      window.vitals.shift = Math.max(window.vitals.shift, sum);
    }
  }).observe({ type: "layout-shift", buffered: true });
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      if (!entry.interactionId) continue;
      window.vitals.interactions += 1;
      if (entry.duration <= window.vitals.interaction) continue;
      window.vitals.interaction = entry.duration;
      const node = entry.target;
      window.vitals.slowest = `${entry.name} on ${node?.id || node?.className || node?.tagName || "?"}`;
    }
  }).observe({ type: "event", durationThreshold: 16, buffered: true });
}"""


@dataclass(frozen=True, slots=True)
class Vitals:
    """What was seen.

    `interaction_ms` is the longest time from an input to the next paint, at a resolution of 8 ms, and
    `slowest` what took it; `shift` is the layout shift, which has no unit.
    """

    shift: float
    interaction_ms: float
    interactions: int
    slowest: str


async def observe(page: Page) -> None:
    """Watch what the page does from its start, in every document that it opens from now on."""
    await page.add_init_script(f"({_OBSERVE})()")


async def read(page: Page) -> Vitals:
    """What was seen in the present document; `observe` must have been called before it was opened."""
    # Entries come a moment after what they are about.
    await page.evaluate("new Promise((seen) => requestIdleCallback(() => setTimeout(seen, 100)))")
    told = await page.evaluate("window.vitals")
    return Vitals(told["shift"], told["interaction"], told["interactions"], told["slowest"])


class Weight:
    """Counts the bytes of a page's own files as they come over the network, head and body, but for photos."""

    def __init__(self, page: Page) -> None:
        self._answers: list[Response] = []
        page.on("response", self._weigh)

    def _weigh(self, answer: Response) -> None:
        self._answers.append(answer)

    async def of_files(self) -> dict[str, int]:
        """The size in bytes of every file but photos, by its path."""
        sizes: dict[str, int] = {}
        for answer in self._answers:
            path = "/" + answer.url.split("/", 3)[3]
            if answer.url.startswith("blob:") or path.startswith(("/media/", "/v1/")):
                continue
            told = await answer.request.sizes()
            sizes[path] = told["responseHeadersSize"] + told["responseBodySize"]
        return sizes
