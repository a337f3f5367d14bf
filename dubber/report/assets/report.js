"use strict";
// One film holds source and dub; two canvases show its halves, so they cannot fall out of step.

const find = (id) => document.getElementById(id);
const film = JSON.parse(find("film-data").textContent);
const video = find("film");
const audio = find("source-sound");
const scrub = find("scrub");
const charts = find("charts");
const strip = find("strip");

// Runs of [count, first, step], as the report packs them.
function unpacked(runs) {
  const values = [];
  for (const [count, first, step] of runs) {
    for (let i = 0; i < count; i += 1) values.push(first + i * step);
  }
  return values;
}

const times = unpacked(film.times);
const sources = unpacked(film.sources);
const CLOSE_S = 0.002; // clocks of film and page may differ by so much
const MOST_DRIFT_S = 0.08;
const loop = { from: null, to: null };

function frameAt(time) {
  let low = 0;
  let high = times.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (times[middle] <= time + CLOSE_S) low = middle;
    else high = middle - 1;
  }
  return low;
}

function clock(seconds) {
  const hundredths = Math.round(seconds * 100);
  const minutes = Math.floor(hundredths / 6000);
  const rest = String(Math.floor((hundredths % 6000) / 100)).padStart(2, "0");
  const fine = String(hundredths % 100).padStart(2, "0");
  if (minutes < 60) return `${minutes}:${rest}.${fine}`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}.${fine}`;
}

function stateAt(frame) {
  const words = film.states.map((stretches) => {
    const stretch = stretches.find(([start, stop]) => start <= frame && frame < stop);
    return stretch ? stretch[2] : "";
  });
  return words.join(" · ");
}

// ---------------------------------------------------------------- pictures

const canvases = ["before", "after"].map(find);

function layOut() {
  const isClose = find("view").value === "mouth";
  const [height, width] = isClose ? film.closeUp : film.half;
  for (const canvas of canvases) {
    canvas.width = width;
    canvas.height = height;
  }
  find("stage").classList.toggle("tall", height > width);
  draw();
}

function draw() {
  if (video.readyState < 2) return;
  const top = find("view").value === "mouth" ? film.half[0] : 0;
  canvases.forEach((canvas, side) => {
    const { width, height } = canvas;
    const picture = canvas.getContext("2d");
    picture.drawImage(video, side * film.half[1], top, width, height, 0, 0, width, height);
  });
}

function show(time) {
  const frame = frameAt(time);
  const said = `${clock(time)} of ${clock(film.end)}`;
  scrub.value = String(time);
  scrub.setAttribute("aria-valuetext", `${said}, ${stateAt(frame)}`);
  find("time").textContent = said;
  const source = sources[frame];
  find("frame").textContent = `frame ${frame}, made from source frame ${source}: ${stateAt(frame)}`;
  placeHead(time);
  draw();
}

function onFrame(_, { mediaTime }) {
  if (loop.to !== null && !video.paused && mediaTime >= loop.to - CLOSE_S) seek(loop.from);
  followSound();
  show(mediaTime);
  video.requestVideoFrameCallback(onFrame);
}

function onTick() {
  onFrame(0, { mediaTime: video.currentTime });
}

if ("requestVideoFrameCallback" in video) video.requestVideoFrameCallback(onFrame);
else {
  video.requestVideoFrameCallback = (callback) => requestAnimationFrame(() => callback(0, { mediaTime: video.currentTime }));
  onTick();
}

// ---------------------------------------------------------------- moving in time

function seek(time) {
  video.currentTime = Math.min(Math.max(time, 0), film.end);
  show(video.currentTime);
}

function step(count) {
  video.pause();
  const frame = Math.min(Math.max(frameAt(video.currentTime) + count, 0), times.length - 1);
  const next = frame + 1 < times.length ? times[frame + 1] : film.end;
  seek((times[frame] + next) / 2);
}

function toggle() {
  if (!video.paused) return video.pause();
  if (video.currentTime >= film.end - 0.05) seek(loop.from ?? 0);
  return video.play();
}

function playFrom(time) {
  if (loop.to !== null && (time < loop.from || time >= loop.to)) setLoop(null, null);
  seek(time);
  video.play();
}

function goRound() {
  if (loop.to !== null) playFrom(loop.from);
}

function setLoop(from, to) {
  loop.from = from;
  loop.to = to;
  const shade = find("loop-shade");
  shade.hidden = to === null;
  if (to !== null) {
    shade.style.left = `${(100 * from) / film.end}%`;
    shade.style.width = `${(100 * (to - from)) / film.end}%`;
  }
  find("loop-off").disabled = to === null;
  find("loop-said").textContent = to === null ? "" : `Loop: ${clock(from)} to ${clock(to)}`;
}

function loopFrom() {
  const to = loop.to !== null && loop.to > video.currentTime ? loop.to : film.end;
  setLoop(video.currentTime, to);
}

function loopTo() {
  const from = loop.from !== null && loop.from < video.currentTime ? loop.from : 0;
  setLoop(from, Math.max(video.currentTime, from + 0.1));
}

// ---------------------------------------------------------------- sound

function followSound() {
  if (find("sound").value !== "source") return;
  if (Math.abs(audio.currentTime - video.currentTime) > MOST_DRIFT_S) audio.currentTime = video.currentTime;
}

function chooseSound() {
  const choice = find("sound").value;
  video.muted = choice !== "dub";
  if (!audio) return;
  audio.playbackRate = video.playbackRate;
  audio.currentTime = video.currentTime;
  if (choice === "source" && !video.paused) audio.play();
  else audio.pause();
}

for (const event of ["play", "pause", "seeked", "ratechange"]) video.addEventListener(event, chooseSound);

// ---------------------------------------------------------------- charts

function placeHead(time) {
  find("head").style.left = `${(100 * time) / film.end}%`;
  const x = (strip.clientWidth * time) / film.end;
  const isOut = x < charts.scrollLeft || x > charts.scrollLeft + charts.clientWidth;
  if (isOut) charts.scrollLeft = x - charts.clientWidth / 8;
}

function zoom() {
  const windowS = Number(find("zoom").value) || film.end;
  strip.style.width = `${Math.max(100, (100 * film.end) / windowS)}%`;
  const shownS = Math.min(windowS, film.end);
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600];
  const stepS = steps.find((each) => shownS / each <= 8) || 7200;
  const axis = find("axis");
  axis.replaceChildren();
  for (let k = 0; k * stepS <= film.end && k < 4000; k += 1) {
    const name = document.createElement("span");
    name.textContent = stepS < 1 ? (k * stepS).toFixed(1) : clock(k * stepS).replace(/\.00$/, "");
    name.style.left = `${(100 * k * stepS) / film.end}%`;
    axis.append(name);
  }
  placeHead(video.currentTime);
}

function seekToPointer(event) {
  const box = strip.getBoundingClientRect();
  seek(((event.clientX - box.left) / box.width) * film.end);
}

strip.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  strip.setPointerCapture(event.pointerId);
  seekToPointer(event);
});
strip.addEventListener("pointermove", (event) => {
  if (strip.hasPointerCapture(event.pointerId)) seekToPointer(event);
});

// ---------------------------------------------------------------- controls

find("play").addEventListener("click", toggle);
find("back").addEventListener("click", () => step(-1));
find("on").addEventListener("click", () => step(1));
find("loop-from").addEventListener("click", loopFrom);
find("loop-to").addEventListener("click", loopTo);
find("loop-off").addEventListener("click", () => setLoop(null, null));
find("speed").addEventListener("change", (event) => { video.playbackRate = Number(event.target.value); });
find("sound").addEventListener("change", chooseSound);
find("view").addEventListener("change", layOut);
find("zoom").addEventListener("change", zoom);
scrub.addEventListener("input", () => seek(Number(scrub.value)));
for (const event of ["play", "pause"]) {
  video.addEventListener(event, () => {
    find("play").textContent = video.paused ? "Play" : "Pause";
  });
}
for (const event of ["loadeddata", "seeked"]) video.addEventListener(event, () => show(video.currentTime));
video.addEventListener("ended", goRound); // where a loop goes to the film's end
video.addEventListener("error", () => { find("film-error").hidden = false; });
document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-seek]");
  if (!link) return;
  find("player").scrollIntoView({ block: "nearest" });
  playFrom(Number(link.dataset.seek));
});

const KEYS = {
  " ": toggle,
  k: toggle,
  ArrowLeft: () => seek(video.currentTime - 1),
  ArrowRight: () => seek(video.currentTime + 1),
  ",": () => step(-1),
  ".": () => step(1),
  Home: () => seek(0),
  End: () => seek(film.end),
  "[": loopFrom,
  "]": loopTo,
  "\\": () => setLoop(null, null),
  m: () => { find("sound").value = find("sound").value === "none" ? "dub" : "none"; chooseSound(); },
  z: () => {
    if (!film.closeUp[0]) return;
    find("view").value = find("view").value === "mouth" ? "whole" : "mouth";
    layOut();
  },
};

// Controls keep the keys that are their own; the page keeps Home and End.
function isTaken(target, key) {
  if (target === scrub) return false;
  if (target.closest("select, input, textarea, [contenteditable]")) return true;
  if (target.closest("button, summary, a")) return key === " ";
  if (target.closest("[tabindex]") && key.startsWith("Arrow")) return target !== charts;
  return (key === "Home" || key === "End") && !target.closest("#player");
}

document.addEventListener("keydown", (event) => {
  const act = KEYS[event.key];
  if (!act || event.ctrlKey || event.metaKey || event.altKey || isTaken(event.target, event.key)) return;
  event.preventDefault();
  act();
});

video.controls = false;
find("fallback").hidden = true;
find("live").hidden = false;
layOut();
zoom();
show(0);
