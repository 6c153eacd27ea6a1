// Applies the colour scheme that the visitor chose, before anything is painted: a script that is no module.
{
  const root = document.documentElement;
  // The browser's own bar has one colour for each scheme of the system.
  const bars = [...document.querySelectorAll("meta[name=theme-color]")].map((meta) => ({ meta, colour: meta.content }));

  const kept = () => {
    try {
      return localStorage.getItem("theme");
    } catch {
      // Where the browser keeps nothing, the system's scheme holds.
      return null;
    }
  };

  const apply = (theme) => {
    const isChosen = theme === "light" || theme === "dark";
    if (isChosen) root.dataset.theme = theme;
    else delete root.dataset.theme;
    const chosen = bars.find(({ meta }) => meta.media.includes(theme));
    for (const { meta, colour } of bars) meta.content = isChosen && chosen ? chosen.colour : colour;
  };

  apply(kept());
  addEventListener("theme", (event) => apply(event.detail));
  // Another tab's choice holds in this one as well.
  addEventListener("storage", () => apply(kept()));
}
