// What the browser keeps for the visitor. Where it keeps nothing, as private windows may, nothing is found.

function guarded(act, otherwise = null) {
  try {
    return act();
  } catch {
    return otherwise;
  }
}

/** What is kept for good under `name`, or null. */
export const remembered = (name) => guarded(() => localStorage.getItem(name));

/** Keeps a text for good; an empty one is forgotten. */
export const remember = (name, text) =>
  guarded(() => (text ? localStorage.setItem(name, text) : localStorage.removeItem(name)));

/** What is kept under `name` until the tab is closed, or null. */
export const held = (name) => guarded(() => sessionStorage.getItem(name));

/** Keeps a text until the tab is closed; an empty one is forgotten. False when there is no room. */
export const hold = (name, text) =>
  guarded(() => {
    if (text) sessionStorage.setItem(name, text);
    else sessionStorage.removeItem(name);
    return true;
  }, false);
