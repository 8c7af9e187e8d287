// The page of one labelled clip: player, frames that need eyes, flicker strip. Drawn once the figures are there.

import { table } from "./charts.js";
import { $, actionButton, address, changed, clock, el, outLink, poll } from "./kit.js";
import { player } from "./player.js";
import { colourOf, isDark, percent, strip } from "./strip.js";

const EVERY_MS = 1500;
const job = document.body.dataset.job;
let clip = null, played = null, mark = () => {};

const ask = () => poll("/clips/" + job + "/state", draw, { clears: true });
const editorAt = (index, text) => {
  const link = outLink(text, clip.editor_url, "button");
  link.title = "Opens the task; go to page " + (index + 1) + " there";
  return link;
};

function head() {
  $("title").textContent = clip.name;
  document.title = clip.name + ": MaskLoop";
  const told = ["task " + clip.task_id, clip.frames + (clip.frames === 1 ? " frame" : " frames"), clip.model_version];
  if (clip.state === "done") told.push("labelled " + clock(clip.finished_at));
  $("about").textContent = told.join(" · ");
  $("elsewhere").replaceChildren(outLink("Open in editor", clip.editor_url, "button"));
}

function waiting() {
  const over = clip.state === "failed" || clip.state === "cancelled";
  $("waiting-title").textContent = over ? "Not labelled" : "Being labelled";
  $("waiting").textContent = over
    ? "This clip's job was " + (clip.state === "failed" ? "not finished: " + clip.error : "cancelled") + ". Retry it on the console."
    : clip.state + ": " + clip.done + " of " + clip.frames + " frames are labelled.";
  Object.assign($("progress"), { max: clip.frames, value: clip.done, hidden: over });
}

function note(index) {
  return clip.steadiness && clip.steadiness.frames[index] ? clip.steadiness.frames[index] : {};
}

function worst(frame) {
  return (frame.worst || []).map(([name, share]) => name + " " + percent(share)).join(", ");
}

function sentences(index) {
  const frame = note(index);
  if (frame.unread) return ["not compared: " + frame.unread];
  if (frame.share === undefined || frame.share === null) return [frame.opens_scene ? "begins a scene; nothing to compare it with" : "no neighbour to compare it with"];
  const told = ["all labels " + percent(frame.share) + " %"];
  if (frame.before !== null) told.push("with the page before " + percent(frame.before));
  if (frame.opens_scene) told.push("begins a scene");
  if (frame.after !== null) told.push("with the next " + percent(frame.after));
  if (worst(frame)) told.push("least steady: " + worst(frame));
  return told;
}

function read(index) {
  $("readout").replaceChildren(el("b", "", "Page " + (index + 1)), ...sentences(index).map((text) => el("span", "", text)));
}

function shown(index) {
  mark(index);
  read(index);
  $("edit").href = clip.editor_url;
  $("edit").textContent = "Edit page " + (index + 1);
  $("edit").title = "Opens the task; go to page " + (index + 1) + " there";
  for (const row of $("eyes").children) row.classList.toggle("here", Number(row.dataset.frame) === index);
}

function eyeRow(index) {
  const frame = note(index), row = el("li");
  row.dataset.frame = index;
  const chip = el("span", "chip" + (frame.unread ? " none" : ""), frame.unread ? "!" : percent(frame.share) + " %");
  if (!frame.unread) {
    chip.style.background = colourOf(frame.share);
    if (isDark(frame.share)) chip.style.color = "var(--on-hot)";
  }
  const what = el("span", "what");
  what.append(el("span", "name", "Page " + (index + 1)), el("span", "sub", frame.unread || worst(frame)));
  const look = el("button", "", "Show");
  look.type = "button";
  look.addEventListener("click", () => played.show(index));
  const actions = el("span", "do");
  actions.append(look, editorAt(index, "Edit"));
  row.append(thumbnail(index), what, chip, actions);
  return row;
}

function thumbnail(index) {
  const made = el("span", "thumb");
  for (const path of ["/frames/" + index + ".jpg", "/labels/" + index + ".png"]) {
    const layer = el("img");
    layer.alt = "";
    layer.src = address("/clips/" + job + path);
    layer.addEventListener("error", () => layer.remove());
    made.append(layer);
  }
  return made;
}

function drawEyes({ eyes, frames }) {
  $("eyes").replaceChildren(...eyes.map(eyeRow));
  $("no-eyes").hidden = eyes.length > 0;
  $("no-eyes").textContent = frames.length < 2
    ? "A single frame has no neighbour that it could flicker against."
    : "No frame stands out: neighbours agree as far as anyone can see.";
  $("eyes-hint").textContent = eyes.length
    ? "Lowest agreement first. Edit opens the task at its first page: click the page number above the picture there and type the one named here over it."
    : "";
}

function drawStrip(steadiness) {
  const shown_ = (name) => steadiness.frames.some((frame) => name in frame.per_class);
  const rows = clip.labels
    .filter(({ name }) => shown_(name))
    .map((label) => ({ ...label, share: steadiness.per_class[label.name] ?? null }))
    .sort((one, other) => (one.share ?? 2) - (other.share ?? 2));
  $("flicker").hidden = false;
  const words = (index) => "page " + (index + 1) + ": " + sentences(index).join(", ");
  mark = strip($("strip"), {
    steadiness, shownRows: rows, words,
    choose: (index) => played.show(index),
    hover: (index) => read(index === null ? played.frame() : index),
  });
  const columns = ["Page", "All labels", "With the page before", ...rows.map(({ name }) => name), "Note"];
  const body = steadiness.frames.map((frame, index) => [
    String(index + 1), percent(frame.share), percent(frame.before),
    ...rows.map(({ name }) => percent(frame.per_class[name])), frame.unread || (frame.opens_scene ? "begins a scene" : ""),
  ]);
  body.push(["Clip", percent(steadiness.share), "", ...rows.map(({ share }) => percent(share)), ""]);
  $("numbers").replaceChildren(table(columns, body, "Agreement of each frame with its neighbours, in percent"));
}

function unmeasured() {
  const found = clip.steadiness, trouble = found ? found.trouble : "";
  $("trouble").hidden = !trouble;
  $("trouble").textContent = "Could not be measured: " + trouble;
  $("unmeasured").hidden = !!found;
  $("unmeasured").textContent = "How steady these labels are was not measured yet. A worker does it when it has labelled a clip, and any time you ask; it takes a few seconds.";
  const button = actionButton(trouble ? "Measure again" : "Measure now", "/clips/" + job + "/measure", "primary", { after: ask });
  $("measure").replaceChildren(...(found && !trouble ? [] : [button]));
}

function drawFigures() {
  const { steadiness } = clip, there = steadiness && !steadiness.trouble;
  unmeasured();
  if (!there) {
    $("eyes-hint").textContent = "";
    $("no-eyes").hidden = false;
    $("no-eyes").textContent = "Known once the flicker is measured, see below.";
    return;
  }
  $("share").textContent = steadiness.share === null ? "" : percent(steadiness.share) + " % over the clip, " + percent(steadiness.share_every) + " % with covered pixels";
  drawEyes(steadiness);
  $("unmeasured").hidden = clip.frames > 1;
  if (clip.frames > 1) drawStrip(steadiness);
  else $("unmeasured").textContent = "A single frame has no neighbour to be compared with.";
  shown(played.frame());
}

function legend() {
  $("legend").replaceChildren(...clip.labels.map(({ name, colour }) => {
    const item = el("li"), key = el("span", "key");
    key.style.background = colour;
    item.append(key, name);
    return item;
  }));
}

function draw(found) {
  if (!changed("clip", found)) return;
  clip = found;
  const done = clip.state === "done";
  head();
  $("waiting-card").hidden = done;
  $("stage").hidden = $("flicker-card").hidden = !done;
  if (!done) return waiting();
  if (!played) {
    legend();
    played = player({ job, frames: clip.frames, colours: clip.labels, whyNot: (index) => note(index).unread, shown });
  }
  drawFigures();
}

async function untilKnown() {
  for (;;) {
    if (!document.hidden) await ask();
    const known = clip && clip.state === "done" && clip.steadiness && !clip.steadiness.trouble;
    if (known) return;
    await new Promise((resume) => setTimeout(resume, EVERY_MS));
  }
}

untilKnown();
