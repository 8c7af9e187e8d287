// Draws the page from two JSON documents, again and again. Text only ever enters as textContent.
"use strict";

const base = document.body.dataset.base.replace(/\/$/, "");
const csrf = document.querySelector("meta[name=csrf]").content;
const STATE_EVERY_MS = 1500;
const TASKS_EVERY_MS = 10000;
const busy = new Set(); // actions under way, so that a redraw keeps their buttons disabled
const drawn = {}; // last document per place: nothing is redrawn (and no focus lost) unless it changed

const $ = (id) => document.getElementById(id);

function el(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined && text !== null) node.textContent = text;
  return node;
}

function changed(place, value) {
  const text = JSON.stringify(value) + [...busy].join();
  if (drawn[place] === text) return false;
  drawn[place] = text;
  return true;
}

// Messages put commands between backticks; they become code, the rest stays text.
function words(tag, className, text) {
  const node = el(tag, className);
  text.split("`").forEach((part, index) => node.append(index % 2 ? el("code", "", part) : part));
  return node;
}

function named(name, className, text) {
  const cell = el("td", className, text);
  if (text !== "") cell.dataset.name = name;
  return cell;
}

function clock(seconds) {
  if (!seconds) return "";
  const then = new Date(seconds * 1000);
  const time = then.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  return then.toDateString() === new Date().toDateString() ? time : then.toLocaleDateString() + " " + time;
}

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 10) return seconds.toFixed(1) + " s";
  if (seconds < 90) return Math.round(seconds) + " s";
  return Math.floor(seconds / 60) + " min " + Math.round(seconds % 60) + " s";
}

function actionButton(text, path, className) {
  const button = el("button", className, text);
  button.type = "button";
  button.disabled = busy.has(path);
  button.addEventListener("click", () => act(path, button));
  return button;
}

function editorLink(url) {
  const link = el("a", "button", "Open in editor");
  link.href = url;
  link.target = "_blank";
  link.rel = "noopener";
  return link;
}

function nameCell(name, sub) {
  const cell = el("td");
  cell.append(el("span", "name", name), el("span", "sub", sub));
  return cell;
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
  if (job.can_cancel) actions.append(actionButton("Cancel", "/jobs/" + job.id + "/cancel"));
  if (job.can_retry) actions.append(actionButton("Retry", "/jobs/" + job.id + "/retry"));
  if (job.editor_url) actions.append(editorLink(job.editor_url));
  row.append(
    nameCell(job.clip || "task " + job.task_id, "task " + job.task_id), state, progress,
    named("started", "num", clock(job.started_at)), named("took", "num", duration(job.took_s)), actions);
  return row;
}

function taskRow(task) {
  const row = el("tr");
  const actions = el("td", "actions");
  const path = "/tasks/" + task.id + "/propagate";
  actions.append(actionButton("Propagate", path, task.has_work ? "primary" : ""));
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

function projectRow(project) {
  const row = el("tr");
  const actions = el("td", "actions");
  const path = "/projects/" + project.id + "/make-masks";
  const link = editorLink(project.url);
  link.textContent = "Open project";
  actions.append(actionButton("Make masks", path, "primary"), link);
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

function drawState(state) {
  if (changed("facts", [state.model, state.workers, state.queue])) {
    const model = state.model.version ? fact("Model " + state.model.version, true) : fact(state.model.error, false);
    const count = state.workers.length;
    const workers = state.queue.error
      ? fact("Queue down", false)
      : fact(count === 0 ? "No worker running" : count === 1 ? "1 worker ready" : count + " workers ready", count > 0);
    workers.title = state.queue.error || state.workers.map((worker) => worker.name).join(", ");
    $("facts").replaceChildren(model, workers);
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
  if (changed("notices", state.notices)) {
    $("notices").replaceChildren(...state.notices.map(noticeRow));
    $("messages").hidden = state.notices.length === 0;
  }
}

function drawTasks(listing) {
  if (listing.label_studio_url) $("label-studio").href = listing.label_studio_url;
  if (!changed("tasks", listing)) return;
  $("tag-projects").querySelector("tbody").replaceChildren(...listing.tag_projects.map(projectRow));
  $("tag-projects-card").hidden = listing.tag_projects.length === 0;
  $("tasks").querySelector("tbody").replaceChildren(...listing.tasks.map(taskRow));
  $("tasks").hidden = listing.tasks.length === 0;
  $("no-tasks").hidden = listing.tasks.length > 0 && !listing.error;
  $("no-tasks").textContent = listing.error || "No open task. Import a clip into a project that MaskLoop serves.";
}

function say(text, bad) {
  const line = $("said");
  line.textContent = text;
  line.className = bad ? "said bad" : "said";
  line.hidden = false;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { line.hidden = true; }, bad ? 15000 : 6000);
}

async function act(path, button) {
  busy.add(path);
  button.disabled = true;
  try {
    const answer = await fetch(base + path, { method: "POST", headers: { "X-CSRF-Token": csrf } });
    const body = await answer.json();
    say(body.message || body.error, !answer.ok);
  } catch (error) {
    say("MaskLoop does not answer; is it still running?", true);
  } finally {
    busy.delete(path);
    button.disabled = false;
    poll("/state", drawState);
  }
}

async function poll(path, draw) {
  try {
    const answer = await fetch(base + path);
    if (answer.status === 401) return location.reload();
    const body = await answer.json();
    if (!answer.ok) throw new Error(body.error);
    draw(body);
    if (path === "/state") $("banner").hidden = true;
  } catch (error) {
    const lost = error instanceof TypeError;
    $("banner").textContent = lost ? "MaskLoop does not answer. This page goes on trying." : error.message;
    $("banner").hidden = false;
  }
}

async function repeat(path, draw, everyMs) {
  for (;;) {
    if (!document.hidden) await poll(path, draw);
    await new Promise((resume) => setTimeout(resume, everyMs));
  }
}

$("clear").addEventListener("click", () => act("/notices/clear", $("clear")));
document.addEventListener("visibilitychange", () => { if (!document.hidden) poll("/state", drawState); });
repeat("/state", drawState, STATE_EVERY_MS);
repeat("/tasks", drawTasks, TASKS_EVERY_MS);
