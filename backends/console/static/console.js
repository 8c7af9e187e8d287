// Draws the page from two JSON documents, again and again. Text only ever enters as textContent.

import {
  $, act, actionButton, address, changed, clock, duration, el, nameCell, named, outLink, poll, repeat, words,
} from "./kit.js";

const STATE_EVERY_MS = 1500;
const TASKS_EVERY_MS = 10000;
const OWN_SHOWN = 3;

const askState = () => poll("/state", drawState, { clears: true });
const askTasks = () => poll("/tasks", drawTasks);
const after = askState; // every button shows what it changed at once

const button = (text, path, className) => actionButton(text, path, className, { after });
const editorLink = (url) => outLink("Open in editor", url, "button");

function pageLink(text, path) {
  const link = el("a", "button", text);
  link.href = address(path);
  return link;
}

function jobRow(job) {
  const row = el("tr");
  const state = el("td");
  state.append(el("span", "state " + job.state, job.state));
  const progress = el("td", "num progress");
  const bar = el("progress");
  bar.max = Math.max(1, job.total);
  bar.value = job.done;
  bar.setAttribute("aria-label", job.unit + " done");
  progress.append(bar, el("span", "sub", job.done + " of " + job.total + " " + (job.total === 1 ? job.unit.replace(/s$/, "") : job.unit)));
  if (job.note) progress.lastChild.textContent += ", " + job.note;
  if (job.error) progress.append(words("span", "why", job.error));
  const actions = el("td", "actions");
  if (job.can_cancel) actions.append(button("Cancel", "/jobs/" + job.id + "/cancel"));
  if (job.can_retry) actions.append(button("Retry", "/jobs/" + job.id + "/retry"));
  if (job.project_path) actions.append(pageLink("Look at project", job.project_path));
  if (job.editor_url) actions.append(editorLink(job.editor_url));
  const name = nameCell(job.clip || job.where, job.where);
  if (job.clip_path) {
    const look = pageLink(name.firstChild.textContent, job.clip_path);
    look.className = "name";
    name.firstChild.replaceWith(look);
  }
  row.append(
    name, state, progress,
    named("started", "num", clock(job.started_at)), named("took", "num", duration(job.took_s)), actions);
  return row;
}

function taskRow(task) {
  const row = el("tr");
  const actions = el("td", "actions");
  const path = "/tasks/" + task.id + "/propagate";
  actions.append(button("Propagate", path, task.has_work ? "primary" : ""));
  if (task.editor_url) actions.append(editorLink(task.editor_url));
  row.append(
    nameCell(task.clip || "task " + task.id, "task " + task.id), named("project", "", task.project),
    named("frames", "num", task.frames), named("masks", "", task.masks), actions);
  return row;
}

function reviewRow(item) {
  const row = el("tr");
  const trust = named("trust", "num");
  trust.append(el("span", item.is_doubtful ? "state failed" : "state done", item.worst_trust.toFixed(2)));
  const actions = el("td", "actions");
  actions.append(editorLink(item.editor_url));
  row.append(
    nameCell(item.name, "task " + item.task_id), named("least sure of", "", item.worst), trust,
    named("mean", "num", item.score.toFixed(2)), actions);
  return row;
}

function clipRow(clip) {
  const row = el("tr");
  const actions = el("td", "actions");
  actions.append(pageLink("Look at clip", "/clips/" + clip.id), editorLink(clip.editor_url));
  row.append(
    nameCell(clip.name || "task " + clip.task_id, "task " + clip.task_id),
    named("agreement", "num", clip.share === null ? (clip.frames === 1 ? "one frame" : "not measured") : (100 * clip.share).toFixed(1) + " %"),
    named("frames", "num", clip.frames), named("reviewed", "", clip.is_saved ? "saved" : ""), actions);
  return row;
}

function projectRow(project) {
  const row = el("tr");
  const actions = el("td", "actions");
  actions.append(pageLink("Look at project", "/projects/" + project.id));
  row.append(
    nameCell(project.title, "project " + project.id), named("", "", project.kind), named("tasks", "num", project.tasks),
    named("submitted", "num", project.submitted), actions);
  return row;
}

function tagProjectRow(project) {
  const row = el("tr");
  const actions = el("td", "actions");
  const path = "/projects/" + project.id + "/make-masks";
  actions.append(button("Make masks", path, "primary"), outLink("Open project", project.url, "button"));
  row.append(
    nameCell(project.title, "project " + project.id), named("pictures", "num", project.tasks),
    named("annotations", "num", project.annotations), named("predictions", "num", project.predictions), actions);
  return row;
}

function noticeRow(notice) {
  const row = el("li", notice.level);
  const dot = el("span", "level");
  dot.title = notice.level;
  const where = notice.task_id ? "Task " + notice.task_id + ": " : "";
  const times = notice.times > 1 ? " (" + notice.times + " times)" : "";
  row.append(dot, words("span", "", where + notice.text + times), el("span", "when", clock(notice.last_at)));
  return row;
}

function fact(text, good) {
  return el("li", good === null ? "" : good ? "good" : "bad", text);
}

function ownFacts(own) {
  const shown = own.slice(0, OWN_SHOWN).map(({ project, versions }) => {
    const node = fact("", null);
    const link = el("a", "", "Project " + project);
    link.href = address("/projects/" + project);
    node.append(link, ": " + versions.join(", "));
    return node;
  });
  const more = own.length - OWN_SHOWN;
  if (more > 0) shown.push(fact(more + (more === 1 ? " more has its" : " more have their") + " own version", null));
  return shown;
}

function drawState(state) {
  if (changed("facts", [state.model, state.workers, state.queue])) {
    const model = state.model.version ? fact("Model " + state.model.version, true) : fact(state.model.error, false);
    const count = state.workers.length;
    const workers = state.queue.error
      ? fact("Queue down", false)
      : fact(count === 0 ? "No worker running" : count === 1 ? "1 worker ready" : count + " workers ready", count > 0);
    workers.title = state.queue.error || state.workers.map((worker) => worker.name).join(", ");
    $("facts").replaceChildren(model, ...ownFacts(state.model.own), workers);
  }
  if (changed("jobs", state.jobs)) {
    $("jobs").querySelector("tbody").replaceChildren(...state.jobs.map(jobRow));
    $("jobs").hidden = state.jobs.length === 0;
    $("no-jobs").hidden = state.jobs.length > 0;
    const active = state.jobs.filter((job) => ["queued", "running", "cancelling"].includes(job.state)).length;
    $("job-count").textContent = state.jobs.length === 0 ? "" : active === 0 ? "none running" : active + " under way";
    document.title = active === 0 ? "MaskLoop" : "(" + active + ") MaskLoop";
  }
  if (changed("review", state.review)) {
    const { items, total } = state.review;
    $("review").querySelector("tbody").replaceChildren(...items.map(reviewRow));
    $("review-card").hidden = total === 0;
    $("review-count").textContent = items.length < total ? "the first " + items.length + " of " + total : total + " to look at";
  }
  if (changed("clips", state.clips)) {
    const { items, more } = state.clips;
    $("clips").querySelector("tbody").replaceChildren(...items.map(clipRow));
    $("clips-card").hidden = items.length === 0;
    const left = items.filter((clip) => !clip.is_saved).length;
    $("clip-count").textContent = (more ? "the first " + items.length + ", " : "") + (left ? left + " not reviewed" : "all reviewed");
  }
  if (changed("notices", state.notices)) {
    $("notices").replaceChildren(...state.notices.map(noticeRow));
    $("messages").hidden = state.notices.length === 0;
  }
}

function drawTasks(listing) {
  if (listing.label_studio_url) $("label-studio").href = listing.label_studio_url;
  if (!changed("tasks", listing)) return;
  $("projects").querySelector("tbody").replaceChildren(...listing.projects.map(projectRow));
  $("projects-card").hidden = listing.projects.length === 0;
  $("tag-projects").querySelector("tbody").replaceChildren(...listing.tag_projects.map(tagProjectRow));
  $("tag-projects-card").hidden = listing.tag_projects.length === 0;
  $("tasks").querySelector("tbody").replaceChildren(...listing.tasks.map(taskRow));
  $("tasks").hidden = listing.tasks.length === 0;
  $("no-tasks").hidden = listing.tasks.length > 0 && !listing.error;
  $("no-tasks").textContent = listing.error || "No open task. Import a clip into a project that MaskLoop serves.";
}

$("clear").addEventListener("click", () => act("/notices/clear", $("clear"), { after }));
document.addEventListener("visibilitychange", () => { if (!document.hidden) askState(); });
repeat(askState, STATE_EVERY_MS);
repeat(askTasks, TASKS_EVERY_MS);
