// The part of a project's page that exports: a choice of format, and what is finished. The job itself is drawn
// with the project's other jobs.

import { $, actionButton, address, changed, clock, el, poll, repeat } from "./kit.js";

const here = "/projects/" + document.body.dataset.project;
const EVERY_MS = 3000;
const WORDS = {
  "davis": "DAVIS: index PNGs per clip",
  "youtube-vos": "YouTube-VOS: index PNGs and meta.json",
  "coco": "COCO: instances as RLE, keeps most",
  "coco-panoptic": "COCO panoptic",
  "voc": "Pascal VOC segmentation",
  "cityscapes": "Cityscapes",
  "yolo-seg": "YOLO segmentation",
  "labelstudio": "Label Studio: tasks to import elsewhere",
};
let chosen = "";

const ask = () => poll(here + "/exports", draw);

function size(bytes) {
  return bytes < 1e6 ? Math.max(1, Math.round(bytes / 1e3)) + " kB" : (bytes / 1e6).toFixed(1) + " MB";
}

function choice(formats) {
  const row = el("div", "row");
  const label = el("label", "quiet", "Format");
  label.htmlFor = "export-format";
  const input = el("select");
  input.id = "export-format";
  for (const name of formats) {
    const option = el("option", "", WORDS[name] || name);
    option.value = name;
    input.append(option);
  }
  input.value = chosen || formats[0];
  const body = { format: input.value };
  input.addEventListener("change", () => { chosen = body.format = input.value; });
  row.append(label, input, actionButton("Export", here + "/export", "primary", { after: ask, body }));
  return row;
}

function fileRow(file) {
  const row = el("li", "row");
  const link = el("a", "button", "Download");
  link.href = address("/exports/" + file.name);
  link.download = file.name;
  row.append(link, el("span", "name", file.format), el("span", "quiet", clock(file.at) + ", " + size(file.bytes)));
  return row;
}

function draw(told) {
  if (!changed("export", told)) return;
  const files = el("ul", "files");
  files.append(...told.files.map(fileRow));
  const hint = told.files.length === 0 ? "What people submitted, as a data set. Nothing was exported here yet."
    : "What each format cannot hold stands in maskloop.json in the file. The last " + told.kept + " files are kept.";
  $("export").replaceChildren(choice(told.formats), el("p", "hint", hint), files);
}

repeat(ask, EVERY_MS);
