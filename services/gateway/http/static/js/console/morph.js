// Making one tree like another, in place: what stays the same is not touched, and keeps its focus, scroll and selection.

const keyOf = (node) => node.dataset?.key;
const isSame = (one, other) => one?.nodeName === other.nodeName && keyOf(one) === keyOf(other);

/** Makes `old` like `fresh`, which is used up. Children with the same `data-key` are taken for the same. */
export function morph(old, fresh) {
  if (!(old instanceof Element)) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  morphAttributes(old, fresh);
  morphChildren(old, fresh);
}

/** What the visitor opened or closed stays so. */
const isVisitors = (node, name) => name === "open" && node.nodeName === "DETAILS";

function morphAttributes(old, fresh) {
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !isVisitors(old, name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) === value || isVisitors(old, name)) continue;
    // The page's policy allows styles that a script sets, and forbids those written as an attribute.
    if (name === "style") old.style.cssText = fresh.style.cssText;
    else old.setAttribute(name, value);
  }
}

function morphChildren(old, fresh) {
  const kept = new Set([...fresh.children].map(keyOf));
  for (const child of [...old.children]) if (keyOf(child) && !kept.has(keyOf(child))) child.remove();
  const keyed = new Map([...old.children].filter(keyOf).map((child) => [keyOf(child), child]));
  let next = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    const known = keyOf(wanted) ? keyed.get(keyOf(wanted)) : next;
    if (!isSame(known, wanted)) {
      old.insertBefore(wanted, next);
      continue;
    }
    if (known === next) next = next.nextSibling;
    else old.insertBefore(known, next);
    morph(known, wanted);
  }
  while (next) {
    const after = next.nextSibling;
    next.remove();
    next = after;
  }
}
