// Shots play in the page's player and are marked while they do; without this, they are links to the place in the video.
"use strict";
const figure = document.querySelector(".player");
const player = document.querySelector("video");
const playing = document.getElementById("playing");
const within = document.getElementById("shot");
const heads = [...document.querySelectorAll(".playhead")];
const shots = [...document.querySelectorAll("a[data-at]")].map((link) => ({
  link,
  url: link.getAttribute("href").split("#")[0],
  at: Number(link.dataset.at),
  start: Number(link.dataset.start),
  end: Number(link.dataset.end),
}));
const first = player.getAttribute("src");
let current = null;

function follow() {
  const url = player.getAttribute("src");
  const now = player.currentTime + 0.001;
  const shot = shots.find((one) => one.url === url && one.at <= now && now < one.at + one.end - one.start) || null;
  for (const head of heads) {
    head.classList.toggle("on", shot !== null);
    if (shot) {
      const part = (shot.start + now - shot.at - Number(head.dataset.start)) / Number(head.dataset.length);
      head.setAttribute("x1", 1000 * part);
      head.setAttribute("x2", 1000 * part);
    }
  }
  if (shot === current) return;
  if (current) current.link.removeAttribute("aria-current");
  if (shot) shot.link.setAttribute("aria-current", "true");
  current = shot;
  const name = url === first ? player.dataset.name : player.dataset.other;
  playing.textContent = name;
  within.textContent = shot ? shot.link.querySelector(".when").textContent : "";
}

// The style makes the player as large as this shape allows; a poster may have another.
function fit() {
  if (player.videoHeight) player.style.setProperty("--shape", player.videoWidth / player.videoHeight);
}

function missing() {
  if (player.getAttribute("src") !== first) {
    playing.textContent = player.dataset.other;
    within.textContent = "This browser cannot play it";
    return;
  }
  figure.hidden = true;
  document.getElementById("absent").hidden = false;
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-at]");
  if (!link || figure.hidden || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  const url = link.getAttribute("href").split("#")[0];
  if (player.getAttribute("src") !== url) player.src = url;
  player.currentTime = Number(link.dataset.at);
  player.play().catch(() => {});
});
player.addEventListener("timeupdate", follow);
player.addEventListener("seeked", follow);
player.addEventListener("error", missing);
player.addEventListener("loadedmetadata", fit);
fit();
if (player.error) missing();
