// The flicker strip: a row per label, a column per frame, as dark as the frame disagrees with its neighbours.
// It is a slider too: arrow keys and clicks choose the frame that the player shows.

import { el } from "./kit.js";

const NS = "http://www.w3.org/2000/svg"; // a name, never fetched
const NAME = 128, TOTAL = 48, TOP = 20, ALL = 30, ROW = 22, AXIS = 22;
const NARROWEST = 5, WIDEST = 104, ROOM_FOR_NUMBER = 30;
const HOTTEST = 0.5; // agreement from which on down a cell is as dark as can be

export const percent = (share) => (share === null || share === undefined ? "–" : (100 * share).toFixed(share > 0 && share < 0.0995 ? 1 : 0));

const heat = (share) => Math.min(1, Math.max(0, (1 - share) / (1 - HOTTEST)));

export function colourOf(share) {
  const warm = heat(share) * 2;
  return warm <= 1
    ? "color-mix(in oklab, var(--warm) " + (100 * warm).toFixed(0) + "%, var(--calm))"
    : "color-mix(in oklab, var(--hot) " + (100 * (warm - 1)).toFixed(0) + "%, var(--warm))";
}

export const isDark = (share) => heat(share) > 0.7;

function svg(tag, attributes, text) {
  const node = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

export function strip(place, { steadiness, shownRows, choose, hover, words }) {
  const { frames } = steadiness;
  const height = TOP + ALL + ROW * shownRows.length + AXIS;
  const picture = svg("svg", { height, "aria-hidden": "true" });
  let across = 0, here = 0, drawnAt = 0;

  const left = (index) => NAME + index * across;
  const top = (row) => (row < 0 ? TOP : TOP + ALL + row * ROW);
  const tall = (row) => (row < 0 ? ALL : ROW);

  function cell(index, row, share) {
    const box = svg("rect", { class: "cell", x: left(index), y: top(row), width: across, height: tall(row), rx: across > 12 ? 3 : 0 });
    box.style.fill = colourOf(share);
    picture.append(box);
    if (across < ROOM_FOR_NUMBER) return;
    const at = { class: "inside" + (isDark(share) ? " dark" : ""), x: left(index) + across / 2, y: top(row) + tall(row) / 2 + 4, "text-anchor": "middle" };
    picture.append(svg("text", at, percent(share)));
  }

  function column(frame, index) {
    const down = height - TOP - AXIS;
    if (frame.unread) picture.append(svg("rect", { class: "unread", x: left(index), y: TOP, width: across, height: down }));
    if (frame.share !== null) cell(index, -1, frame.share);
    shownRows.forEach(({ name }, row) => { if (name in frame.per_class) cell(index, row, frame.per_class[name]); });
    if (!frame.opens_scene) return;
    picture.append(svg("line", { class: "cut", x1: left(index), x2: left(index), y1: TOP - 4, y2: height - AXIS + 4 }));
    picture.append(svg("text", { class: "cut-name", x: left(index) + 5, y: TOP - 6 }, "new scene"));
  }

  function names() {
    picture.append(svg("text", { class: "label all", x: 0, y: TOP + ALL / 2 + 5 }, "All labels"));
    const end = left(frames.length) + 8;
    picture.append(svg("text", { class: "total all", x: end, y: TOP + ALL / 2 + 5 }, percent(steadiness.share)));
    shownRows.forEach(({ name, colour, share }, row) => {
      const y = top(row) + ROW / 2;
      const swatch = svg("rect", { x: 0, y: y - 5, width: 10, height: 10, rx: 3 });
      swatch.style.fill = colour;
      const text = svg("text", { class: "label", x: 17, y: y + 4 }, name.length > 15 ? name.slice(0, 14) + "…" : name);
      text.append(svg("title", {}, name));
      picture.append(swatch, text, svg("text", { class: "total", x: end, y: y + 4 }, percent(share)));
    });
    const every = Math.max(1, Math.ceil(26 / across));
    frames.forEach((frame, index) => {
      if (index % every) return;
      picture.append(svg("text", { class: "tick", x: left(index) + across / 2, y: height - 6, "text-anchor": "middle" }, index + 1));
    });
  }

  function hatch() {
    const pattern = svg("pattern", { id: "hatch", width: 8, height: 8, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" });
    pattern.append(svg("line", { class: "hatch", x1: 0, y1: 0, x2: 0, y2: 8 }));
    const kept = svg("defs", {});
    kept.append(pattern);
    picture.append(kept);
  }

  const frameAround = (kind) => svg("rect", { class: kind, y: TOP - 2, height: height - TOP - AXIS + 4, visibility: "hidden" });
  const cursor = frameAround("cursor"), pointed = frameAround("hover");

  function mark(node, index) {
    node.setAttribute("visibility", index === null ? "hidden" : "visible");
    if (index === null) return;
    node.setAttribute("x", left(index));
    node.setAttribute("width", across);
  }

  function redraw() {
    const width = place.clientWidth;
    if (!width || width === drawnAt) return;
    drawnAt = width;
    across = Math.min(WIDEST, Math.max(NARROWEST, (width - NAME - TOTAL) / frames.length));
    picture.setAttribute("width", Math.ceil(left(frames.length) + TOTAL));
    picture.replaceChildren();
    hatch();
    frames.forEach(column);
    names();
    picture.append(cursor, pointed);
    mark(cursor, here);
  }

  function at(event) {
    const index = Math.floor((event.clientX - picture.getBoundingClientRect().left - NAME) / across);
    return index >= 0 && index < frames.length ? index : null;
  }

  Object.assign(place, { tabIndex: 0, role: "slider", ariaLabel: "Frame, with its agreement", ariaValueMin: 1, ariaValueMax: frames.length });
  picture.addEventListener("pointermove", (event) => { mark(pointed, at(event)); hover(at(event)); });
  picture.addEventListener("pointerleave", () => { mark(pointed, null); hover(null); });
  picture.addEventListener("click", (event) => { if (at(event) !== null) choose(at(event)); });
  const scale = el("span", "scale");
  scale.append("100 % agreement", el("i"), "50 % or less");
  place.replaceChildren(picture);
  place.after(scale);
  new ResizeObserver(redraw).observe(place);
  redraw();
  return (index) => {
    here = index;
    if (across) mark(cursor, index);
    Object.assign(place, { ariaValueNow: index + 1, ariaValueText: words(index) });
  };
}
