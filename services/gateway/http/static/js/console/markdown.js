// Markdown as elements: what model cards use of it. No markup of the text reaches the page, only what is built here.
//
// Source: the CommonMark specification, https://spec.commonmark.org/0.31.2/, and tables as GitHub has them,
// https://github.github.com/gfm/#tables-extension-. Of links only those to https are links.

import { element } from "/js/dom.js";

const HEADING = /^(#{1,6})\s+(.*?)\s*#*$/;
const FENCE = /^(`{3,}|~{3,})/;
const RULE = /^([-*_])(\s*\1){2,}$/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const ROW_MARKS = /^\|?(\s*:?-+:?\s*\|)*\s*:?-+:?\s*\|?$/;
const LOWEST_HEADING = 6;
/** Quotes and lists within one another that are told apart; what is deeper is words. */
const DEEPEST = 8;

/** The elements of a text; its headings begin one below `level`. */
export function rendered(text, level = 1) {
  return blocks(text.replaceAll("\r\n", "\n").split("\n"), { level, depth: 0 });
}

/** The blocks of lines; `within` tells the level of headings and how deep the lines are. */
function blocks(lines, within) {
  if (within.depth > DEEPEST) return [element("p", {}, lines.join(" "))];
  const made = [];
  let at = 0;
  while (at < lines.length) {
    const [node, end] = block(lines, at, within);
    if (node) made.push(node);
    at = end;
  }
  return made;
}

/** The block that begins at a line, if one does, and the line after it. */
function block(lines, at, within) {
  const line = lines[at].trim();
  if (!line) return [null, at + 1];
  const heading = HEADING.exec(line);
  if (heading) return [element(`h${Math.min(LOWEST_HEADING, within.level + heading[1].length)}`, {}, inline(heading[2])), at + 1];
  if (FENCE.test(line)) return code(lines, at);
  if (RULE.test(line)) return [element("hr"), at + 1];
  if (ITEM.test(lines[at])) return list(lines, at, deeper(within));
  if (line.startsWith(">")) return quote(lines, at, deeper(within));
  if (isTable(lines, at)) return table(lines, at);
  return paragraph(lines, at);
}

const deeper = ({ level, depth }) => ({ level, depth: depth + 1 });

function code(lines, at) {
  const [fence] = FENCE.exec(lines[at].trim());
  let end = at + 1;
  while (end < lines.length && !lines[end].trim().startsWith(fence)) end += 1;
  return [element("pre", { tabIndex: 0 }, element("code", {}, lines.slice(at + 1, end).join("\n"))), end + 1];
}

function quote(lines, at, within) {
  let end = at;
  while (end < lines.length && lines[end].trim().startsWith(">")) end += 1;
  const inner = lines.slice(at, end).map((line) => line.trim().replace(/^>\s?/, ""));
  return [element("blockquote", {}, blocks(inner, within)), end];
}

/** A list with all that is indented below its items. */
function list(lines, at, within) {
  const [, indent, mark] = ITEM.exec(lines[at]);
  const isOrdered = /\d/.test(mark);
  const items = [];
  let end = at;
  while (end < lines.length) {
    const item = ITEM.exec(lines[end]);
    if (item && item[1].length <= indent.length) {
      if (/\d/.test(item[2]) !== isOrdered) break;
      items.push([item[3]]);
    } else if (lines[end].trim() && (item || /^\s{2,}/.test(lines[end]) || !startsBlock(lines, end))) {
      items.at(-1).push(lines[end].replace(new RegExp(`^\\s{0,${indent.length + 2}}`), ""));
    } else break;
    end += 1;
  }
  return [element(isOrdered ? "ol" : "ul", {}, items.map((own) => element("li", {}, itemContent(own, within)))), end];
}

/** An item's words by themselves, and what is below them as blocks. */
function itemContent(lines, within) {
  const [first, ...rest] = blocks(lines, within);
  return first?.nodeName === "P" ? [...first.childNodes, ...rest] : [first, ...rest];
}

const isTable = (lines, at) => lines[at].includes("|") && ROW_MARKS.test(lines[at + 1]?.trim() ?? "") && lines[at + 1].includes("-");

function cells(line) {
  const inner = line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "");
  return inner.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

function table(lines, at) {
  const head = cells(lines[at]);
  const isNumber = cells(lines[at + 1]).map((mark) => mark.endsWith(":"));
  let end = at + 2;
  const rows = [];
  for (; end < lines.length && lines[end].includes("|"); end += 1) rows.push(cells(lines[end]));
  const row = (tag, its) => element("tr", {}, head.map((_, place) => element(tag, { className: isNumber[place] ? "number" : "" }, inline(its[place] ?? ""))));
  return [element("table", {}, element("thead", {}, row("th", head)), element("tbody", {}, rows.map((its) => row("td", its)))), end];
}

const startsBlock = (lines, at) =>
  [HEADING, FENCE, RULE].some((form) => form.test(lines[at].trim())) || ITEM.test(lines[at]) || lines[at].trim().startsWith(">") || isTable(lines, at);

function paragraph(lines, at) {
  let end = at + 1;
  while (end < lines.length && lines[end].trim() && !startsBlock(lines, end)) end += 1;
  return [element("p", {}, inline(lines.slice(at, end).map((line) => line.trim()).join(" "))), end];
}

const INLINE = new RegExp(
  [
    "\\\\(?<escaped>[!-/:-@[-`{-~])",
    "(?<ticks>`+)",
    "\\*\\*(?=\\S)(?<strong>.+?)(?<=\\S)\\*\\*",
    "\\*(?=[^\\s*])(?<emphasis>[^*]+?)(?<=\\S)\\*",
    "(?<![\\p{L}\\p{N}])_(?=\\S)(?<slanted>[^_]+?)(?<=\\S)_(?![\\p{L}\\p{N}])",
    "!?\\[(?<label>[^\\]]*)\\]\\((?<address>[^)\\s]*)(?:\\s+\"[^\"]*\")?\\)",
    "<(?<bare>https://[^\\s<>]+)>",
  ].join("|"),
  "gu",
);

/** The nodes of a line of text. */
function inline(text) {
  const nodes = [];
  const closing = closings(text);
  const form = new RegExp(INLINE);
  let at = 0;
  for (let found = form.exec(text); found; found = form.exec(text)) {
    const { ticks } = found.groups;
    const end = ticks ? closing(ticks.length, form.lastIndex) : 0;
    // Backticks that nothing closes are only that.
    if (ticks && !end) continue;
    nodes.push(text.slice(at, found.index), ticks ? verbatim(text.slice(form.lastIndex, end)) : node(found.groups));
    at = ticks ? end + ticks.length : form.lastIndex;
    form.lastIndex = at;
  }
  return [...nodes, text.slice(at)];
}

/**
 * A function that tells where as many backticks as that are next, from a place on; 0 where they are not. Asked for places
 * in their order it goes through the text but once, however many backticks there are.
 */
function closings(text) {
  const places = new Map();
  for (const { 0: ticks, index } of [...text.matchAll(/`+/g)].reverse()) {
    if (!places.has(ticks.length)) places.set(ticks.length, []);
    places.get(ticks.length).push(index);
  }
  return (length, from) => {
    const left = places.get(length) ?? [];
    while (left.at(-1) < from) left.pop();
    return left.at(-1) ?? 0;
  };
}

const verbatim = (text) => element("code", {}, text.trim());

function node({ escaped, strong, emphasis, slanted, label, address, bare }) {
  if (escaped) return escaped;
  if (strong) return element("strong", {}, inline(strong));
  if (emphasis ?? slanted) return element("em", {}, inline(emphasis ?? slanted));
  if (bare) return link(bare, [bare]);
  return link(address, inline(label));
}

/** A link where it leads to https, else its words alone. */
function link(address, words) {
  return /^https:\/\//i.test(address) ? element("a", { href: address, rel: "noreferrer" }, words) : element("span", {}, words);
}
