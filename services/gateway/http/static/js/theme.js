// Applies the colour scheme that the visitor chose, before anything is painted: a script that is no module.

try {
  const theme = localStorage.getItem("theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Where the browser keeps nothing, the system's scheme holds.
}
