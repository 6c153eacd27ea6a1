// Links within the page: real ones, so that they can be opened in a tab of their own, copied and shared.

/** Whether a click is for this page; with a key held, or of another button, it is for the browser. */
const isPlain = (event) => event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;

/** Lets a plain click on a link `act` in place of loading the page anew. */
export function follow(link, act) {
  link.addEventListener("click", (event) => {
    if (!isPlain(event)) return;
    event.preventDefault();
    act();
  });
}
