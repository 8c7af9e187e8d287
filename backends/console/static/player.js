// Plays a clip: each frame is one picture with its labels laid over, on a canvas. Pictures are asked for once.

import { $, address } from "./kit.js";

const AHEAD = 12; // frames asked for before they are due

export function player({ job, frames, colours, whyNot, shown }) {
  const canvas = $("canvas"), brush = canvas.getContext("2d");
  const reading = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const pictures = new Map(); // frame -> {frame, labels}, each an image or null where there is none
  const names = new Map(colours.map(({ name, colour }) => [colour, name]));
  let here = 0, timer = 0;

  function picture(path) {
    return new Promise((resolve) => {
      const image = new Image();
      image.onload = () => resolve(image);
      image.onerror = () => resolve(null);
      image.src = address("/clips/" + job + path);
    });
  }

  function ask(index) {
    if (!pictures.has(index)) {
      const both = [picture("/frames/" + index + ".jpg"), picture("/labels/" + index + ".png")];
      pictures.set(index, Promise.all(both).then(([frame, labels]) => ({ frame, labels })));
    }
    return pictures.get(index);
  }

  async function draw(index) {
    const { frame, labels } = await ask(index);
    if (index !== here) return; // somebody went on meanwhile
    const drawn = frame || labels;
    $("no-picture").hidden = !!drawn;
    if (!drawn) $("no-picture").textContent = whyNot(index) || "This frame cannot be shown.";
    else {
      if (canvas.width !== drawn.width || canvas.height !== drawn.height) Object.assign(canvas, { width: drawn.width, height: drawn.height });
      brush.globalAlpha = 1;
      brush.fillStyle = "#0b0e12";
      brush.fillRect(0, 0, canvas.width, canvas.height);
      if (frame) brush.drawImage(frame, 0, 0);
      brush.globalAlpha = Number($("opacity").value) / 100;
      if (labels) brush.drawImage(labels, 0, 0, canvas.width, canvas.height);
    }
    canvas.dataset.frame = index;
    for (let next = index + 1; next <= Math.min(index + AHEAD, frames - 1); next++) ask(next);
  }

  function go(index) {
    here = (index + frames) % frames;
    $("page").textContent = "Page " + (here + 1) + " of " + frames;
    shown(here);
    return draw(here);
  }

  async function step() {
    const started = performance.now();
    await go(here + 1);
    const rest = 1000 / Number($("speed").value) - (performance.now() - started);
    if (timer) timer = setTimeout(step, Math.max(0, rest));
  }

  function pause() {
    clearTimeout(timer);
    timer = 0;
    $("play").textContent = "Play";
  }

  function play() {
    if (timer || frames < 2) return;
    $("play").textContent = "Pause";
    timer = setTimeout(step, 0);
  }

  async function under(event) {
    const { labels } = await ask(here);
    const box = canvas.getBoundingClientRect();
    if (!labels || !box.width) return;
    Object.assign(reading.canvas, { width: 1, height: 1 });
    const x = Math.floor((event.clientX - box.left) / box.width * labels.width);
    const y = Math.floor((event.clientY - box.top) / box.height * labels.height);
    reading.drawImage(labels, -x, -y);
    const [red, green, blue, alpha] = reading.getImageData(0, 0, 1, 1).data;
    const colour = "#" + [red, green, blue].map((part) => part.toString(16).padStart(2, "0")).join("");
    $("under").textContent = alpha ? names.get(colour) || "" : "no label";
    $("under").hidden = !$("under").textContent;
  }

  const by = (steps) => { pause(); return go(here + steps); };
  $("play").addEventListener("click", () => (timer ? pause() : play()));
  $("back").addEventListener("click", () => by(-1));
  $("on").addEventListener("click", () => by(1));
  $("opacity").addEventListener("input", () => draw(here));
  canvas.addEventListener("pointermove", under);
  canvas.addEventListener("pointerleave", () => { $("under").hidden = true; });
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || /^(INPUT|SELECT|BUTTON|A|SUMMARY)$/.test(event.target.tagName)) return;
    const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -here, End: frames - 1 - here }[event.key];
    if (steps !== undefined) by(steps);
    else if (event.key === " ") (timer ? pause() : play());
    else return;
    event.preventDefault();
  });
  if (frames < 2) for (const id of ["play", "back", "on"]) $(id).disabled = true;
  go(0);
  return { show: (index) => by(index - here), frame: () => here };
}
