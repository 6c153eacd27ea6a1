// Dots of colour beside the names of colours, as far as the names are known.

import { element } from "/js/dom.js";

const COLOURS = {
  "#1d1d1f": "black schwarz noir",
  "#ffffff": "white weiß blanc",
  "#8d8d90": "grey gray grau gris",
  "#45474b": "charcoal anthracite anthrazit graphite",
  "#b9bcc2": "silver silber argent metallic steel",
  "#c62f2f": "red rot rouge",
  "#7b1e34": "burgundy maroon bordeaux wine",
  "#e0792b": "orange rust",
  "#f2c230": "yellow gelb jaune",
  "#c9952c": "mustard senf moutarde",
  "#c8a24a": "gold golden or",
  "#a97142": "bronze copper kupfer cuivre",
  "#3c8a4c": "green grün vert",
  "#6f7433": "olive khaki oliv kaki",
  "#9bc53d": "lime fluorescent",
  "#3f8f8a": "teal petrol",
  "#37b9c4": "turquoise türkis aqua cyan",
  "#2f64b5": "blue blau bleu",
  "#1c2b52": "navy marine",
  "#6a3fa0": "purple lila violett violet",
  "#b79bd6": "lavender mauve flieder lilas",
  "#d83f87": "magenta fuchsia",
  "#ee9fb8": "pink rosa rose",
  "#f4b49a": "peach coral apricot koralle corail",
  "#7a4e2d": "brown braun brun marron",
  "#4b3024": "coffee mocha chocolate espresso",
  "#c19a6b": "tan camel cognac",
  "#d9c7a3": "beige sand nude skin",
  "#8f8374": "taupe mushroom mole",
  "#f4ecd8": "cream ivory ecru creme crème",
};
const byWord = new Map(Object.entries(COLOURS).flatMap(([colour, words]) => words.split(" ").map((word) => [word, colour])));
const PALER = "white 45%";
const DARKER = "black 40%";
const SHADES = new Map([
  ...["light", "pale", "hell", "clair"].map((word) => [word, PALER]),
  ...["dark", "deep", "dunkel", "foncé"].map((word) => [word, DARKER]),
]);
const SEVERAL = /multi|bunt|rainbow|mehrfarbig/;

/** A CSS colour, or a picture of several, for the name of a colour; null when it is none that is known. */
export function colourOf(name) {
  const text = name.toLowerCase();
  if (SEVERAL.test(text)) return "conic-gradient(#c62f2f, #f2c230, #3c8a4c, #2f64b5, #6a3fa0, #c62f2f)";
  const words = text.split(/[^\p{L}]+/u).map((word) => word.replace(/ish$/, ""));
  // "Blau-Grün" and "Rot/Weiß" start with what they mostly are, and "Navy Blue" is a navy.
  const known = words.find((word) => byWord.has(word));
  if (!known) return null;
  const shade = words.map((word) => SHADES.get(word)).find(Boolean);
  return shade ? `color-mix(in srgb, ${byWord.get(known)}, ${shade})` : byWord.get(known);
}

/** The dot, or null for a colour that is not known. */
export function swatch(name) {
  const colour = colourOf(name);
  if (!colour) return null;
  const dot = element("span", { className: "swatch", "aria-hidden": "true" });
  dot.style.background = colour;
  return dot;
}
