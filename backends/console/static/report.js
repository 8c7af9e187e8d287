// The report of a project, drawn: what the proposals of each version were worth, and how candidates came about.

import { $, address, clock, duration, el, words } from "./kit.js";
import { change, curves, dots, shareBars, table } from "./charts.js";

const SPECIAL = { by_hand: "by hand", unrecorded: "version not recorded" };
const percent = (share) => (share === null ? "" : Math.round(100 * share) + " %");
const figure = (value, digits = 2) => (value === null || value === undefined ? "" : value.toFixed(digits));
const seconds = (value) => (value === null || value === undefined ? "" : value < 10 && value !== 0 ? value.toFixed(1) : String(Math.round(value)));
const count = (number, noun) => number.toLocaleString() + " " + noun + (number === 1 ? "" : /s$/.test(noun) ? "es" : "s");
const sentence = (text) => (/^[a-z]+[ ,:]/.test(text) ? text[0].toUpperCase() + text.slice(1) : text) + ".";
const day = (at) => (at ? new Date(at * 1000).toLocaleDateString([], { day: "numeric", month: "short" }) : "");
const minute = (at) => new Date(at * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const daysOf = ({ first_at: first, last_at: last }) => (day(first) === day(last) ? day(first) : day(first) + " to " + day(last));

export const nameOf = (version) => SPECIAL[version.kind] || version.version;

// Whatever has no version is grey, versions take colours in the order in which they came.
function colours(versions) {
  let next = 0;
  return versions.map((version) => (version.kind === "version" ? "c" + (1 + (next++ % 5)) : "c0"));
}

export function drawReport(report, served) {
  const { clips } = report;
  const unit = report.project.unit;
  const nothing = clips.length === 0;
  $("no-savings").hidden = !nothing;
  if (nothing) $("no-savings").textContent = nothingYet(report, unit);
  $("tiles").hidden = nothing;
  $("tiles").replaceChildren(...(nothing ? [] : tiles(report, unit)));
  $("savings").replaceChildren(...(nothing ? [] : plots(report, unit)));
  $("notes").replaceChildren(...report.notes.map((note) => words("li", "", note)));
  $("notes").hidden = report.notes.length === 0;
  $("versions-card").hidden = nothing;
  if (!nothing) $("versions").replaceChildren(versionsTable(report, unit, served));
}

function nothingYet({ project }, unit) {
  const open = project.untouched;
  const waiting = open ? " " + count(open, "task") + (open === 1 ? " waits" : " wait") + " for it." : " Import " + unit + "s into the project first.";
  return "Nothing was submitted yet: open a task in Label Studio, correct what was proposed, and press Submit." + waiting;
}

// The four figures of the version that helped last, beside those of the one before it.
function tiles({ versions, idle }, unit) {
  const helped = versions.filter((version) => version.kind === "version" && version.clips);
  const now = helped[helped.length - 1] || versions[versions.length - 1];
  const before = helped.length > 1 ? helped[helped.length - 2] : versions.find((version) => version.kind === "by_hand" && version !== now);
  const isFew = now.clips < 5 || Boolean(before && before.clips < 5);
  const few = isFew ? " Of few " + unit + "s: read with care." : "";
  const byHand = versions.find((version) => version.kind === "by_hand" && version !== before && version.seconds_per_frame !== null);
  const made = [
    tile("Proposal against final mask", figure(now.iou && now.iou.mean), "mean IoU", delta(now.iou && now.iou.mean, before && before.iou && before.iou.mean, 1, (x) => figure(x)), now.iou ? "of " + count(now.iou.count, "proposal") : "no proposal's pixels are known"),
    tile("Left as proposed", percent(now.accepted_share), "of the masks", delta(now.accepted_share, before && before.accepted_share, 1, (x) => Math.round(100 * x) + " points"), now.proposals ? count(now.accepted, "mask") + " of " + now.proposals.toLocaleString() : "nothing was proposed"),
    tile("Time per frame", seconds(now.seconds_per_frame), now.seconds_per_frame === null ? "" : "s", delta(now.seconds_per_frame, before && before.seconds_per_frame, -1, (x) => seconds(x) + " s"), now.seconds ? "on " + count(now.seconds.count, unit) + (now.idle_clips ? ", idle time cut on " + now.idle_clips : "") + (byHand ? "; by hand " + seconds(byHand.seconds_per_frame) + " s" : "") : "no time was recorded"),
  ];
  if (unit !== "photo") {
    made.push(tile("Frames corrected per clip", figure(now.corrections && now.corrections.mean, 1), "", delta(now.corrections && now.corrections.mean, before && before.corrections && before.corrections.mean, -1, (x) => figure(x, 1)), "of " + figure(now.frames / Math.max(1, now.clips), 0) + " frames each"));
  }
  const line = el("p", "hint whole", "The last version that helped: " + nameOf(now) + (before ? ", compared with " + nameOf(before) : "") + "." + few);
  if (isFew) made.forEach((one) => one.querySelector(".delta")?.classList.add("few"));
  return [line, ...made];
}

function tile(label, value, unit, change, sub) {
  const made = el("div", "tile");
  const number = el("div", "value", value || "–");
  if (unit && value) number.append(" ", el("small", "", unit));
  made.append(el("div", "label", label), number);
  if (change) made.append(change);
  made.append(el("div", "sub", sub));
  return made;
}

// `good` is 1 where more is better, -1 where less is.
function delta(now, before, good, say) {
  if (now === null || now === undefined || before === null || before === undefined) return null;
  const moved = now - before;
  const shown = say(Math.abs(moved));
  const same = /^0([.,]0+)?( |$)/.test(shown);
  const looks = same ? "same" : moved * good > 0 ? "better" : "worse";
  return el("div", "delta " + looks, same ? "as before" : (moved > 0 ? "▲ " : "▼ ") + shown + (looks === "better" ? ", better" : ", worse"));
}

function plots(report, unit) {
  const { versions, clips, bands } = report;
  const looks = colours(versions);
  const place = Object.fromEntries(versions.map((version, index) => [version.version, index]));
  const series = (mean) => versions.map((version, index) => ({ name: nameOf(version), colour: looks[index], mean: mean(version) }));
  const when = day(clips[0].at) === day(clips[clips.length - 1].at) ? minute : day;
  const points = (value, told, hollow) => clips.filter((clip) => value(clip) !== null).map((clip) => ({
    y: value(clip), series: place[clip.version], x: when(clip.at), told: clip.name + ", " + clock(clip.at) + ": " + told(clip), hollow: Boolean(hollow && hollow(clip)),
  }));
  const columns = [unit[0].toUpperCase() + unit.slice(1), "Saved", "Version"];
  const rows = (value, ...more) => clips.filter((clip) => value(clip) !== null).map((clip) => [clip.name, clock(clip.at), nameOf(versions[place[clip.version]]), ...more.map((one) => one(clip))]);
  const made = [];
  const add = (value, make) => { if (clips.some((clip) => value(clip) !== null)) made.push(make(value)); };

  const judged = versions.filter((version) => version.iou);
  if (judged.length) {
    made.push(shareBars({
      title: "How close proposals were to the final masks",
      hint: "IoU of each proposal with the mask that was saved; a deleted proposal has 0.",
      bars: judged.map((version) => ({ name: nameOf(version) + " (" + count(version.iou.count, "mask") + ")", shares: version.bands.map((n) => n / version.iou.count) })),
      bands: bandNames(bands).map((name, index) => [name, "b" + index]),
      columns: ["Version", ...bandNames(bands), "Mean", "Median"],
      rows: judged.map((version) => [nameOf(version), ...version.bands.map(String), figure(version.iou.mean), figure(version.iou.median)]),
    }));
  }
  add((clip) => clip.accepted_share, (value) => dots({
    title: "Masks left as proposed", hint: "Each dot is one " + unit + ", in the order in which they were saved; lines are means.",
    points: points(value, (clip) => clip.accepted + " of " + clip.proposals), series: series((version) => version.accepted_share), format: percent, reach: 1,
    columns: [...columns, "Left as proposed", "Changed", "Deleted"], rows: rows(value, (clip) => String(clip.accepted), (clip) => String(clip.corrected), (clip) => String(clip.removed)),
  }));
  add((clip) => clip.seconds_per_frame, (value) => dots({
    title: "Seconds per frame", hint: idleWords(report, unit),
    points: points(value, (clip) => seconds(clip.seconds_per_frame) + " s per frame" + (clip.was_idle ? ", idle time cut" : ""), (clip) => clip.was_idle),
    series: series((version) => version.seconds_per_frame), format: (x) => seconds(x).replace(/\.0$/, "") + " s",
    columns: [...columns, "Seconds per frame", "Frames", "Open for"], rows: rows(value, (clip) => seconds(clip.seconds_per_frame) + (clip.was_idle ? " (cut)" : ""), (clip) => String(clip.frames), (clip) => duration(clip.lead_time_s)),
  }));
  if (unit !== "photo") {
    add((clip) => clip.touched_frames, (value) => dots({
      title: "Frames corrected per clip", hint: "Frames on which a person painted, changed or deleted a mask. An object's first mask is one of them.",
      points: points(value, (clip) => clip.touched_frames + " of " + clip.frames + " frames"), series: series((version) => version.corrections && version.corrections.mean), format: (x) => figure(x, 1).replace(/\.0$/, ""), reach: 4,
      columns: [...columns, "Frames corrected", "Frames"], rows: rows(value, (clip) => String(clip.touched_frames), (clip) => String(clip.frames)),
    }));
  }
  return made;
}

function bandNames(edges) {
  const inner = edges.slice(1).map((edge, index) => edges[index] + " to " + (edge === 1 ? "below 1" : edge));
  return ["below " + edges[0], ...inner, "left as it was"];
}

function idleWords({ idle }, unit) {
  const told = "Label Studio's clock from opening to submit, per frame. It runs on while nobody works, so what exceeds "
    + idle.factor + " times the version's median is cut";
  const cut = idle.clips ? ": so on " + count(idle.clips, unit) + " (hollow dots)" : ": here on none";
  return told + cut + "." + (idle.untimed ? " " + count(idle.untimed, unit) + (idle.untimed === 1 ? " has" : " have") + " no time." : "");
}

// The served version before anything was submitted with its help.
function notYet(served, unit, columns) {
  const name = el("th", "name", served);
  name.scope = "row";
  name.append(el("span", "tag", "served"));
  const cell = el("td", "quiet", "no " + unit + " was submitted with its help yet");
  cell.colSpan = columns - 1;
  return [name, cell];
}

function versionsTable({ versions }, unit, served) {
  const many = unit[0].toUpperCase() + unit.slice(1) + "s";
  const columns = ["Version", many, "Frames", "Left as proposed", "Changed", "Deleted", "By hand", "Mean IoU", "s per frame"];
  if (unit === "clip") columns.push("Corrected");
  const rows = versions.map((version) => {
    const name = el("th", "name");
    name.scope = "row";
    name.append(nameOf(version));
    if (version.version === served) name.append(el("span", "tag", "served"));
    name.append(el("span", "sub", daysOf(version)));
    const own = (number) => (version.proposals ? number.toLocaleString() : "");
    const row = [
      name, String(version.clips), version.frames.toLocaleString(),
      own(version.accepted) + (version.proposals ? " (" + percent(version.accepted_share) + ")" : ""), own(version.corrected), own(version.removed),
      version.painted.toLocaleString(), figure(version.iou && version.iou.mean), seconds(version.seconds_per_frame),
    ];
    if (unit === "clip") row.push(version.corrections ? figure(version.corrections.mean, 1) + " frames" : "");
    return row;
  });
  if (served && !versions.some((version) => version.version === served)) rows.push(notYet(served, unit, columns.length));
  return table(columns, rows, "Model versions");
}

// Training runs

const OUTCOMES = { promoted: ["promoted", ""], waiting: ["waits for a decision", "wait"], refused: ["refused", "alert"], declined: ["refused by a person", "quietly"], failed: ["failed", "alert"], cancelled: ["cancelled", "quietly"], "": ["under way", "wait"] };
let chosen; // name of the run that is shown

export function drawRuns(report, here) {
  const { runs } = report;
  $("no-runs").hidden = runs.length > 0;
  $("no-runs").textContent = "No version was trained on this project's work yet. Press Improve now below, or let it begin by itself after enough submitted tasks.";
  const there = runs.find((run) => run.run === chosen) || runs[0];
  $("run-choice").replaceChildren();
  $("run").replaceChildren();
  if (!there) return;
  const choice = el("select");
  choice.setAttribute("aria-label", "Training run");
  for (const run of runs) {
    const option = el("option", "", run.run + " · " + day(run.begun_at) + " · " + OUTCOMES[run.outcome][0]);
    option.value = run.run;
    option.selected = run === there;
    choice.append(option);
  }
  choice.addEventListener("change", () => { chosen = choice.value; drawRun(runs.find((run) => run.run === chosen), here); });
  if (runs.length > 1) $("run-choice").append(choice);
  drawRun(there, here);
}

function drawRun(run, here) {
  const [outcome, looks] = OUTCOMES[run.outcome];
  const title = el("p", "big", run.candidate || "Run " + run.run);
  title.append(el("span", "tag " + looks, outcome));
  const took = run.ended_at ? ", took " + duration(run.ended_at - run.begun_at) : "";
  const parts = [title, el("p", "hint", "Run " + run.run + " of " + clock(run.begun_at) + took + "." + (run.why ? " Begun: " + run.why + "." : ""))];
  if (run.error) parts.push(words("p", "trouble", run.error));
  if (run.reasons.length) parts.push(reasonsOf(run));
  if (run.classes.length) parts.push(part("Class by class, on the held-out " + run.unit + "s", comparison(run, run.classes, "Class")));
  if (run.videos.length > 1) parts.push(part("Video by video", comparison(run, run.videos, "Video")));
  if (run.examples.length) parts.push(part("Examples", examples(run, here)));
  if (run.curves.length) parts.push(part("Learning curves", learning(run)));
  $("run").replaceChildren(...parts);
}

export function reasonsOf({ reasons, against }) {
  const list = el("ul", "reasons");
  for (const text of reasons) list.append(words("li", against.includes(text) ? "against" : "", sentence(text)));
  return list;
}

function part(title, content) {
  const made = el("div", "part");
  made.append(el("h3", "", title), content);
  return made;
}

function comparison(run, rows, what) {
  const scroll = el("div", "scroll");
  const before = run.served || "nothing (no version was served)";
  const judged = run.benchmark ? [...rows, run.benchmark] : rows;
  const known = judged.flatMap((one) => [one.served, one.candidate]).filter((value) => value !== null);
  const least = Math.min(90, Math.floor(Math.min(...known, 100) / 10) * 10); // where the track of the plot begins
  const line = (one, overall) => {
    const moved = one.served === null || one.candidate === null ? null : one.candidate - one.served;
    const told = one.name + ": " + run.metric + " from " + figure(one.served, 1) + " to " + figure(one.candidate, 1);
    const cell = el("td");
    cell.append(change(one.served, one.candidate, least, told));
    const step = el("td", "num " + (moved === null || Math.abs(moved) < 0.05 ? "" : moved > 0 ? "gain-text" : "loss-text"), moved === null ? "" : (moved > 0 ? "+" : "") + figure(moved, 1).replace("-", "−"));
    return [one.name, figure(one.served, 1), figure(one.candidate, 1), step, cell, one.count === null ? "" : String(one.count)];
  };
  const all = rows.map((one) => line(one));
  if (what === "Class") all.push(line({ name: "All held-out " + run.unit + "s", ...run.overall }));
  if (what === "Class" && run.benchmark && run.benchmark.name) all.push(line({ ...run.benchmark, name: "Benchmark: " + run.benchmark.name, count: null }));
  scroll.append(
    el("p", "hint wide", "In points of " + run.metric + ", 0 to 100. Grey is " + before + ", blue is " + run.candidate + "."),
    table([what, "Served", "Candidate", "Change", "From " + least + " to 100", run.unit === "photo" ? "Photos" : "Frames"], all, what + " by " + what.toLowerCase()));
  return scroll;
}

const whereOf = (run, one) => one.clip + (run.unit === "photo" ? "" : ", frame " + one.frame);

function examples(run, here) {
  const list = el("div", "examples");
  for (const one of run.examples) {
    const made = el("figure", "example");
    made.append(el("figcaption", "", whereOf(run, one)));
    const shots = el("div", "shots");
    for (const [key, name, score] of [["picture", "Picture", null], ["served", "Served", one.served], ["candidate", "Candidate", one.candidate], ["truth", "Truth", null]]) {
      if (!one.pictures[key]) continue;
      const shot = el("div");
      const image = el("img");
      image.src = address(here + "/runs/" + encodeURIComponent(run.run) + "/examples/" + encodeURIComponent(one.pictures[key]));
      const told = name + (score === null || score === undefined ? "" : ", " + "mean IoU " + figure(score));
      image.alt = whereOf(run, one) + ": " + told;
      image.loading = "lazy";
      shot.append(image, el("span", "", told));
      shots.append(shot);
    }
    made.append(shots);
    list.append(made);
  }
  return list;
}

function learning(run) {
  const grid = el("div", "plots");
  for (const panel of run.curves) {
    const lines = panel.lines.map((line, index) => ({ name: line.name, colour: "c" + (1 + (index % 5)), points: line.points }));
    const steps = [...new Set(lines.flatMap((line) => line.points.map((point) => point[0])))].sort((a, b) => a - b);
    const digits = Math.max(...lines.flatMap((line) => line.points.map((point) => Math.abs(point[1])))) >= 20 ? 1 : 3;
    const valueAt = lines.map((line) => new Map(line.points));
    grid.append(curves({
      title: panel.title, hint: "", lines, xName: "step", format: (x) => figure(x, digits).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, ""),
      columns: ["Step", ...lines.map((line) => line.name)],
      rows: steps.map((step) => [String(step), ...valueAt.map((known) => figure(known.get(step), digits))]),
    }));
  }
  return grid;
}
