// The page of one project: what is live (state, every two seconds) and the report (when a newer one is there).

import { $, act, actionButton, changed, clock, duration, el, outLink, poll, repeat, words } from "./kit.js";
import { drawReport, drawRuns, reasonsOf } from "./report.js";

const project = document.body.dataset.project;
const here = "/projects/" + project;
const STATE_EVERY_MS = 2000;
let reportAt; // of the report that is drawn
let drawnReport; // the report itself
let servedNow = "";
let policyDrawn = false;

const askState = () => poll(here + "/state", drawState, { clears: true });
const after = askState;

function drawHead({ project: about, report }) {
  $("title").textContent = about.title || "Project " + about.id;
  document.title = (about.title || "Project " + about.id) + ": MaskLoop";
  $("about").textContent = "Project " + about.id + (about.kind_words ? " · " + about.kind_words : "");
  $("elsewhere").replaceChildren(outLink("Open in Label Studio", about.url, "button"));
}

function drawServed({ served }) {
  servedNow = served.version;
  if (drawnReport) drawReport(drawnReport, servedNow);
  const place = $("served");
  if (!served.version) {
    place.replaceChildren(words("p", "trouble", served.error));
    return $("served-actions").replaceChildren();
  }
  const line = el("p", "big", served.version);
  if (served.is_shipped) line.append(el("span", "tag quietly", "shipped"));
  const since = served.since ? "Since " + clock(served.since) + ". " : "";
  place.replaceChildren(line, el("p", "hint", since + served.words));
  const actions = [];
  if (served.before) {
    actions.push(actionButton("Roll back", here + "/roll-back", "", {
      after, sure: "Serve " + served.before + " again in this project, from the next request on?",
    }));
  }
  $("served-actions").replaceChildren(...actions);
}

function drawWaiting({ waiting }) {
  $("waiting-card").hidden = !waiting;
  if (!waiting) return;
  const body = { run: waiting.run };
  $("waiting").replaceChildren(
    el("p", "big", waiting.candidate),
    el("p", "hint", "Made in run " + waiting.run + ", ready since " + clock(waiting.ended_at)
      + ". It was scored beside " + (waiting.served || "nothing: no version was served") + " on the same held-out clips."),
    reasonsOf(waiting));
  $("waiting-actions").replaceChildren(
    actionButton("Promote", here + "/promote", "primary", { after, body }),
    actionButton("Refuse", here + "/decline", "", { after, body, sure: "Leave " + waiting.candidate + " unserved?" }));
}

function drawJobs({ jobs }) {
  $("jobs-card").hidden = jobs.length === 0;
  $("jobs-title").textContent = jobs.some((job) => job.state !== "failed") ? "Under way" : "What did not end well";
  $("jobs").replaceChildren(...jobs.map((job) => {
    const row = el("li");
    const name = el("div");
    name.append(el("span", "name", job.what), el("span", "sub", job.stage || (job.state === "queued" ? "waits for its turn" : "")));
    const progress = el("div", "progress");
    const bar = el("progress");
    bar.max = Math.max(1, job.total);
    bar.value = job.done;
    bar.setAttribute("aria-label", job.what);
    progress.append(bar, el("span", "sub", (job.took_s === null ? "" : duration(job.took_s) + ", ") + job.done + " of " + job.total + " steps"));
    const actions = el("div");
    if (job.can_cancel) actions.append(actionButton("Cancel", "/jobs/" + job.id + "/cancel", "", { after }));
    if (job.can_retry) actions.append(actionButton("Retry", "/jobs/" + job.id + "/retry", "", { after }));
    row.append(name, el("span", "state " + job.state, job.state), progress, actions);
    if (job.error) row.append(words("span", "why", job.error));
    return row;
  }));
}

function drawAge({ report }) {
  const age = report.made_at ? "As of " + clock(report.made_at) : "";
  $("report-age").textContent = report.is_old ? age + ", work was saved since" : age;
  $("report-trouble").hidden = !report.error;
  $("report-trouble").textContent = report.error || "";
  $("report-actions").replaceChildren(actionButton("Refresh", here + "/refresh", report.made_at && !report.is_old ? "" : "primary", { after }));
  if (report.made_at === reportAt) return;
  reportAt = report.made_at;
  if (reportAt) poll(here + "/report", (told) => { drawnReport = told; drawReport(told, servedNow); drawRuns(told, here); });
  else drawNothing(report);
}

function drawNothing(report) {
  $("no-savings").hidden = Boolean(report.error);
  $("no-savings").textContent = "No report was made yet. Press Refresh: it reads what was submitted in Label Studio, "
    + "and shows for each model version how good its proposals were and what they saved.";
  drawRuns({ runs: [] }, here);
}

function field(one) {
  const place = el("div", "field");
  const label = el("label", "", one.label);
  label.htmlFor = "policy-" + one.name;
  let input;
  if (one.choices) {
    input = el("select");
    for (const [value, text] of one.choices) {
      const option = el("option", "", text);
      option.value = value;
      input.append(option);
    }
  } else {
    input = el("input");
    input.type = one.kind === "text" ? "text" : "number";
    if (input.type === "number") {
      input.step = one.kind === "count" ? "1" : "any";
      input.min = "0";
      input.required = !one.may_be_empty;
    }
  }
  input.id = "policy-" + one.name;
  input.name = one.name;
  input.value = one.value ?? "";
  input.setAttribute("aria-describedby", "policy-" + one.name + "-help");
  const row = el("div", "row");
  row.append(input);
  if (one.unit) row.append(el("span", "quiet", one.unit));
  const help = el("p", "hint", one.help);
  help.id = "policy-" + one.name + "-help";
  place.append(label, row, help);
  return place;
}

function drawPolicy({ policy }) {
  $("no-policy").hidden = !policy.error;
  $("no-policy").textContent = policy.error || "";
  if (policyDrawn && !changed("policy", policy)) return; // nobody's half-typed number is overwritten
  changed("policy", policy);
  policyDrawn = true;
  const send = el("div", "send row");
  const save = el("button", "primary", "Save");
  save.type = "submit";
  send.append(save);
  send.append(actionButton("Improve now", here + "/improve", "", { after }));
  if (policy.words) send.append(el("span", "quiet", policy.words));
  $("policy").replaceChildren(...policy.fields.map(field), send);
}

function policyBody(form, fields) {
  const body = {};
  for (const one of fields) {
    const text = form.elements[one.name].value.trim();
    if (one.kind === "text" || one.choices) body[one.name] = text;
    else body[one.name] = text === "" ? null : Number(text);
  }
  return body;
}

let policyFields = [];
$("policy").addEventListener("submit", (event) => {
  event.preventDefault();
  act(here + "/policy", event.submitter, { after, body: policyBody(event.target, policyFields) });
});

function drawState(state) {
  policyFields = state.policy.fields;
  if (changed("head", [state.project])) drawHead(state);
  if (changed("served", [state.served])) drawServed(state);
  if (changed("waiting", [state.waiting])) drawWaiting(state);
  if (changed("jobs", state.jobs)) drawJobs(state);
  if (changed("age", [state.report])) drawAge(state);
  drawPolicy(state);
}

document.addEventListener("visibilitychange", () => { if (!document.hidden) askState(); });
repeat(askState, STATE_EVERY_MS);
