// What every page of the console shares: building nodes, words for times, asking the server. Text only ever
// enters as textContent.

const base = document.body.dataset.base.replace(/\/$/, "");
const csrf = document.querySelector("meta[name=csrf]").content;
const busy = new Set(); // actions under way, so that a redraw keeps their buttons disabled
const drawn = {}; // last document per place: nothing is redrawn (and no focus lost) unless it changed
let spoken = 0;

export const $ = (id) => document.getElementById(id);

export const address = (path) => base + path;

export function el(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined && text !== null) node.textContent = text;
  return node;
}

export function changed(place, value) {
  const text = JSON.stringify(value) + [...busy].join();
  if (drawn[place] === text) return false;
  drawn[place] = text;
  return true;
}

// Messages put commands between backticks; they become code, the rest stays text.
export function words(tag, className, text) {
  const node = el(tag, className);
  text.split("`").forEach((part, index) => node.append(index % 2 ? el("code", "", part) : part));
  return node;
}

export function named(name, className, text) {
  const cell = el("td", className, text);
  if (text !== "") cell.dataset.name = name;
  return cell;
}

export function nameCell(name, sub) {
  const cell = el("td");
  cell.append(el("span", "name", name), el("span", "sub", sub));
  return cell;
}

export function clock(seconds) {
  if (!seconds) return "";
  const then = new Date(seconds * 1000);
  const time = then.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  return then.toDateString() === new Date().toDateString() ? time : then.toLocaleDateString() + " " + time;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 10) return seconds.toFixed(1) + " s";
  if (seconds < 90) return Math.round(seconds) + " s";
  return Math.floor(seconds / 60) + " min " + Math.round(seconds % 60) + " s";
}

// `after` runs when the answer is there; `body`, if any, is sent as JSON; `sure`, if any, is asked first.
export function actionButton(text, path, className, { after, body, sure } = {}) {
  const button = el("button", className, text);
  button.type = "button";
  button.disabled = busy.has(path);
  button.addEventListener("click", () => {
    if (!sure || confirm(sure)) act(path, button, { after, body });
  });
  return button;
}

export function outLink(text, url, className) {
  const link = el("a", className, text);
  link.href = url;
  link.target = "_blank";
  link.rel = "noopener";
  return link;
}

export function say(text, bad) {
  const line = $("said");
  line.textContent = text;
  line.className = bad ? "said bad" : "said";
  line.hidden = false;
  clearTimeout(spoken);
  spoken = setTimeout(() => { line.hidden = true; }, bad ? 15000 : 6000);
}

export async function act(path, button, { after, body } = {}) {
  busy.add(path);
  button.disabled = true;
  const headers = { "X-CSRF-Token": csrf };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  try {
    const answer = await fetch(base + path, { method: "POST", headers, body: body && JSON.stringify(body) });
    const told = await answer.json();
    say(told.message || told.error, !answer.ok);
  } catch (error) {
    say("MaskLoop does not answer; is it still running?", true);
  } finally {
    busy.delete(path);
    button.disabled = false;
    if (after) after();
  }
}

export async function poll(path, draw, { clears = false } = {}) {
  try {
    const answer = await fetch(base + path);
    if (answer.status === 401) return location.reload();
    const body = await answer.json();
    if (!answer.ok) throw new Error(body.error);
    draw(body);
    if (clears) $("banner").hidden = true;
  } catch (error) {
    const lost = error instanceof TypeError;
    $("banner").textContent = lost ? "MaskLoop does not answer. This page goes on trying." : error.message;
    $("banner").hidden = false;
  }
}

export async function repeat(ask, everyMs) {
  for (;;) {
    if (!document.hidden) await ask();
    await new Promise((resume) => setTimeout(resume, everyMs));
  }
}
