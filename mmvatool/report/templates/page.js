// Shots play in the page's player and are marked while they do; without this script they are links into the video.
"use strict";
const figure = document.querySelector(".player");
const player = document.querySelector("video");
const playing = document.getElementById("playing");
const playingShot = document.getElementById("shot");
const playheads = [...document.querySelectorAll(".playhead")];
const shots = [...document.querySelectorAll("a[data-play]")].map((link) => ({
  link,
  url: link.getAttribute("href").split("#")[0],
  play: Number(link.dataset.play),
  start: Number(link.dataset.start),
  end: Number(link.dataset.end),
}));
const resultUrl = player.getAttribute("src");
let current = null;

function markShot() {
  const url = player.getAttribute("src");
  const now = player.currentTime + 0.001;
  const shot = shots.find((one) => one.url === url && one.play <= now && now < one.play + one.end - one.start) || null;
  for (const playhead of playheads) {
    playhead.classList.toggle("on", shot !== null);
    if (shot) {
      const position = (shot.start + now - shot.play - Number(playhead.dataset.start)) / Number(playhead.dataset.length);
      playhead.setAttribute("x1", 1000 * position);
      playhead.setAttribute("x2", 1000 * position);
    }
  }
  if (shot === current) return;
  if (current) current.link.removeAttribute("aria-current");
  if (shot) shot.link.setAttribute("aria-current", "true");
  current = shot;
  playing.textContent = url === resultUrl ? player.dataset.name : player.dataset.source;
  playingShot.textContent = shot ? shot.link.querySelector(".name").textContent : "";
}

// The style sizes the player by this aspect ratio; the poster may have another.
function setAspect() {
  if (player.videoHeight) player.style.setProperty("--aspect", player.videoWidth / player.videoHeight);
}

function showUnplayable() {
  if (player.getAttribute("src") !== resultUrl) {
    playing.textContent = player.dataset.source;
    playingShot.textContent = "This browser cannot play it";
    return;
  }
  figure.hidden = true;
  document.getElementById("unplayable").hidden = false;
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-play]");
  if (!link || figure.hidden || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  const url = link.getAttribute("href").split("#")[0];
  if (player.getAttribute("src") !== url) player.src = url;
  player.currentTime = Number(link.dataset.play);
  player.play().catch(() => {});
});
player.addEventListener("timeupdate", markShot);
player.addEventListener("seeked", markShot);
player.addEventListener("error", showUnplayable);
player.addEventListener("loadedmetadata", setAspect);
setAspect();
if (player.error) showUnplayable();
