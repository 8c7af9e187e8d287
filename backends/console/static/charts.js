// Plots as inline SVG, drawn to the width they get. Each is a figure: title, picture, legend, and the numbers
// behind it as a table, so that nobody needs to see or hover to read it.

import { el } from "./kit.js";

const NS = "http://www.w3.org/2000/svg"; // a name, never fetched
const LEFT = 46, RIGHT = 12, TOP = 10, BOTTOM = 30;

function svg(tag, attributes, text) {
  const node = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes || {})) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

// Round numbers that cover low..high in about `count` steps.
export function ticks(low, high, count) {
  if (!(high > low)) high = low + (Math.abs(low) || 1);
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((times) => times * power).find((size) => size >= rough * 0.999);
  const first = Math.floor(low / step + 1e-9), last = Math.ceil(high / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(12)));
}

export function table(columns, rows, caption) {
  const made = el("table", "figures");
  if (caption) made.append(el("caption", "unseen", caption));
  const head = el("tr");
  columns.forEach((name) => {
    const cell = el("th", "", name);
    cell.scope = "col";
    head.append(cell);
  });
  const body = el("tbody");
  for (const row of rows) {
    const line = el("tr");
    row.forEach((value, place) => {
      const cell = value instanceof Node ? value : el(place ? "td" : "th", place ? "num" : "", value);
      if (!place && cell.tagName === "TH") cell.scope = "row";
      if (place && cell.textContent !== "") cell.dataset.name = columns[place];
      line.append(cell);
    });
    body.append(line);
  }
  const top = el("thead");
  top.append(head);
  made.append(top, body);
  return made;
}

// A figure whose picture is drawn anew whenever its width changes; `draw(picture, width)` fills it.
export function figure({ title, hint, told, height, draw, legend, columns, rows }) {
  const made = el("figure", "plot");
  const caption = el("figcaption");
  caption.append(el("h3", "", title));
  if (hint) caption.append(el("p", "hint", hint));
  const picture = svg("svg", { role: "img", height, "aria-label": title + ". " + told });
  const redraw = () => {
    const width = Math.max(180, Math.round(made.clientWidth));
    if (Number(picture.getAttribute("width")) === width) return;
    picture.setAttribute("width", width);
    picture.setAttribute("viewBox", "0 0 " + width + " " + height);
    picture.replaceChildren();
    draw(picture, width);
  };
  new ResizeObserver(redraw).observe(made);
  made.append(caption, picture);
  if (legend && legend.length > 1) made.append(legendOf(legend));
  const behind = el("details");
  const scroll = el("div", "scroll");
  scroll.append(table(columns, rows, title));
  behind.append(el("summary", "", "Numbers"), scroll);
  made.append(behind);
  return made;
}

function legendOf(entries) {
  const list = el("ul", "legend");
  for (const [name, colour] of entries) {
    const item = el("li", "", name);
    const key = el("span", "key " + colour);
    item.prepend(key);
    list.append(item);
  }
  return list;
}

function frame(picture, width, height, yTicks, yOf, formatY) {
  for (const value of yTicks) {
    const y = yOf(value);
    picture.append(
      svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y, y2: y }),
      svg("text", { class: "tick", x: LEFT - 7, y: y + 4, "text-anchor": "end" }, formatY(value)));
  }
}

function titled(node, text) {
  node.append(svg("title", {}, text));
  return node;
}

// One dot per point, in order; a line at the mean of each series over the stretch it covers.
// points: {y, series, x (words), told (words), hollow}; series: {name, colour, mean}
export function dots({ title, hint, points, series, format, columns, rows, reach = 0 }) {
  const height = 210;
  const values = points.map((point) => point.y);
  const marks = ticks(Math.min(0, ...values), Math.max(reach, ...values), 4);
  const [low, high] = [marks[0], marks[marks.length - 1]];
  const draw = (picture, width) => {
    const yOf = (value) => TOP + (height - TOP - BOTTOM) * (1 - (value - low) / (high - low));
    const room = (width - LEFT - RIGHT) / Math.max(1, points.length);
    const xOf = (index) => LEFT + room * (index + 0.5);
    frame(picture, width, height, marks, yOf, format);
    series.forEach((one, number) => {
      const mine = points.map((point, index) => (point.series === number ? index : -1)).filter((index) => index >= 0);
      if (!mine.length || one.mean === null) return;
      const ends = [xOf(mine[0]) - room / 2 + 1, xOf(mine[mine.length - 1]) + room / 2 - 1];
      const line = svg("line", { class: "mean " + one.colour, x1: ends[0], x2: ends[1], y1: yOf(one.mean), y2: yOf(one.mean) });
      picture.append(titled(line, one.name + ": mean " + format(one.mean)));
    });
    const radius = Math.max(2, Math.min(4.5, room / 2.4));
    points.forEach((point, index) => {
      const looks = "dot " + series[point.series].colour + (point.hollow ? " hollow" : "");
      picture.append(titled(svg("circle", { class: looks, cx: xOf(index), cy: yOf(point.y), r: radius }), point.told));
    });
    underneath(points.map((point) => point.x), width).forEach(([index, anchor]) => {
      const x = anchor === "start" ? LEFT : anchor === "end" ? width - RIGHT : xOf(index);
      picture.append(svg("text", { class: "tick", x, y: height - 9, "text-anchor": anchor }, points[index].x));
    });
  };
  const shown = series.filter((one, number) => points.some((point) => point.series === number));
  const told = shown.map((one) => one.name + (one.mean === null ? "" : ": mean " + format(one.mean))).join(", ");
  return figure({ title, hint, told, height, draw, legend: shown.map((one) => [one.name, one.colour]), columns, rows });
}

// Which words stand below a row of points, and how they are set: the ends, and the middle where there is room.
function underneath(words, width) {
  const last = words.length - 1, middle = Math.floor(last / 2);
  if (words[0] === words[last]) return [[middle, "middle"]];
  const shown = [[0, "start"], [last, "end"]];
  if (width >= 420 && ![words[0], words[last]].includes(words[middle])) shown.push([middle, "middle"]);
  return shown;
}

// One bar per row, cut into shares that sum to 1. rows: {name, shares}; bands: [name, colour].
export function shareBars({ title, hint, bars, bands, columns, rows }) {
  const step = 46, height = TOP + step * bars.length + 6;
  const percent = (share) => Math.round(100 * share) + " %";
  const draw = (picture, width) => {
    bars.forEach((bar, index) => {
      const y = TOP + step * index;
      picture.append(svg("text", { class: "name", x: 0, y: y + 11 }, bar.name));
      let x = 0;
      bar.shares.forEach((share, place) => {
        if (!share) return;
        const length = share * width;
        const part = svg("rect", { class: "share " + bands[place][1], x, y: y + 17, width: Math.max(0.5, length - 1), height: 18 });
        picture.append(titled(part, bands[place][0] + ": " + percent(share)));
        if (length > 38) {
          picture.append(svg("text", { class: "inside " + bands[place][1], x: x + length / 2, y: y + 30, "text-anchor": "middle" }, percent(share)));
        }
        x += length;
      });
    });
  };
  const told = bars.map((bar) => bar.name + ": " + bar.shares.map((share, place) => bands[place][0] + " " + percent(share)).join(", ")).join("; ");
  return figure({ title, hint, told, height, draw, legend: bands, columns, rows });
}

// Curves over steps. lines: {name, colour, points: [[x, y], …]}
export function curves({ title, hint, lines, format, columns, rows, xName }) {
  const height = 190;
  const all = lines.flatMap((line) => line.points);
  const [xs, ys] = [all.map((point) => point[0]), all.map((point) => point[1])];
  const marks = ticks(Math.min(...ys), Math.max(...ys), 4);
  const [low, high] = [marks[0], marks[marks.length - 1]];
  const [first, last] = [Math.min(...xs), Math.max(...xs)];
  const draw = (picture, width) => {
    const yOf = (value) => TOP + (height - TOP - BOTTOM) * (1 - (value - low) / (high - low));
    const xOf = (value) => LEFT + (width - LEFT - RIGHT) * (last > first ? (value - first) / (last - first) : 0.5);
    frame(picture, width, height, marks, yOf, format);
    for (const line of lines) {
      const path = line.points.map(([x, y]) => xOf(x).toFixed(1) + "," + yOf(y).toFixed(1)).join(" ");
      picture.append(titled(svg("polyline", { class: "curve " + line.colour, points: path }), line.name));
      if (line.points.length === 1) {
        const [x, y] = line.points[0];
        picture.append(svg("circle", { class: "dot " + line.colour, cx: xOf(x), cy: yOf(y), r: 3.5 }));
      }
    }
    picture.append(
      svg("text", { class: "tick", x: LEFT, y: height - 9 }, xName + " " + first),
      svg("text", { class: "tick", x: width - RIGHT, y: height - 9, "text-anchor": "end" }, String(last)));
  };
  const told = lines.map((line) => line.name + " from " + format(line.points[0][1]) + " to " + format(line.points[line.points.length - 1][1])).join(", ");
  return figure({ title, hint, told, height, draw, legend: lines.map((line) => [line.name, line.colour]), columns, rows });
}

// Two values of one thing on a track from `least` to 100: where it stood, where it would stand. For a table's cell.
export function change(before, after, least, told) {
  const [width, height] = [200, 22];
  const xOf = (value) => 8 + (width - 16) * ((value - least) / (100 - least));
  const picture = svg("svg", { class: "change", role: "img", width, height, viewBox: "0 0 " + width + " " + height, "aria-label": told });
  picture.append(svg("line", { class: "grid", x1: xOf(least), x2: xOf(100), y1: 11, y2: 11 }));
  if (before !== null && after !== null) {
    picture.append(svg("line", { class: after >= before ? "gain" : "loss", x1: xOf(before), x2: xOf(after), y1: 11, y2: 11 }));
  }
  if (before !== null) picture.append(svg("circle", { class: "dot before", cx: xOf(before), cy: 11, r: 4.5 }));
  if (after !== null) picture.append(svg("circle", { class: "dot after", cx: xOf(after), cy: 11, r: 4.5 }));
  return picture;
}
