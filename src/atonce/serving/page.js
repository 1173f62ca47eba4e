"use strict";
// Text goes in as text only: class names and error messages may hold anything.
const at = (id) => document.getElementById(id);
let model = null, request = null, addresses = [];

function share(value) {
  if (value > 0 && value < 0.001) return "< 0.1 %";
  return (100 * value).toFixed(1) + " %";
}

function fail(text) {
  at("status").hidden = true;
  at("error").textContent = text;
  at("error").hidden = false;
}

function address(blob) {
  const made = URL.createObjectURL(blob);
  addresses.push(made);
  return made;
}

async function told(response) {
  try {
    return (await response.json()).error || response.statusText;
  } catch {
    return `the server answered ${response.status} ${response.statusText}`;
  }
}

// A token is kept for this tab alone; a server without one never asks.
function headers() {
  const token = sessionStorage.getItem("token");
  return token ? { Authorization: `Bearer ${token}` } : {};
}

function askForToken(again) {
  at("key").hidden = false;
  at("drop").hidden = true;
  at("status").hidden = true;
  if (again) fail("The server does not know this token.");
  at("token").focus();
}

async function load() {
  try {
    const response = await fetch("model", { headers: headers() });
    if (response.status === 401) {
      askForToken(sessionStorage.getItem("token") !== null);
      return;
    }
    if (!response.ok) throw new Error(await told(response));
    model = await response.json();
  } catch (error) {
    fail(`The server does not answer: ${error.message}`);
    return;
  }
  const network = model.architecture, scores = model.scores || {};
  const about = [`FCN-${network.stride}s`, `${model.classes.length} classes`, `runs on ${model.engine} (${model.device})`];
  if (typeof scores.mean_iou === "number") about.splice(2, 0, `mean IoU ${scores.mean_iou.toFixed(3)} on validation`);
  at("name").textContent = model.model.file;
  at("about").textContent = about.join(" · ");
  document.title = `${model.model.file} · atonce`;
  const { upload_bytes: bytes, pixels, formats } = model.limits;
  at("limits").textContent = `${formats.join(", ")}; up to ${bytes / 1e6} MB and ${pixels / 1e6} megapixels`;
}

async function ask(file, query, signal) {
  const body = new FormData();
  body.append("picture", file);
  const response = await fetch(`predict?${query}`, { method: "POST", body, headers: headers(), signal });
  if (!response.ok) throw new Error(await told(response));
  return response;
}

function shown(image, source) {
  return new Promise((resolve) => {
    image.onload = () => resolve(true);
    image.onerror = () => resolve(false);
    image.src = source;
  });
}

async function segment(file) {
  if (request) request.abort();
  const mine = (request = new AbortController());
  at("error").hidden = true;
  at("status").hidden = false;
  if (model && file.size > model.limits.upload_bytes) {
    at("result").classList.remove("busy");
    fail(`${file.name} has ${(file.size / 1e6).toFixed(1)} MB; expected at most ${model.limits.upload_bytes / 1e6} MB`);
    return;
  }
  at("status").textContent = `Segmenting ${file.name} …`;
  at("result").classList.add("busy");
  try {
    const answer = await (await ask(file, "format=json&labels=true&layer=true", mine.signal)).json();
    await show(file, answer, mine.signal);
    const { width, height, milliseconds } = answer;
    const took = milliseconds.total < 1000 ? `${Math.round(milliseconds.total)} ms` : `${(milliseconds.total / 1000).toFixed(1)} s`;
    at("status").textContent = `${file.name}: ${width} × ${height} pixels, ${took}`;
  } catch (error) {
    if (error.name === "AbortError") return;
    fail(error instanceof TypeError ? "The server cannot be reached; has it been stopped?" : `${file.name}: ${error.message}`);
  } finally {
    if (request === mine) at("result").classList.remove("busy");
  }
}

function png(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  return address(new Blob([bytes], { type: "image/png" }));
}

async function show(file, answer, signal) {
  const old = addresses;
  addresses = [];
  const labels = png(answer.labels_png);
  let picture = address(file);
  const original = at("original");
  const seen = await shown(original, picture);
  // TIFF, or turned by EXIF data that this browser passes over: the server's own view of it.
  if (!seen || original.naturalWidth !== answer.width || original.naturalHeight !== answer.height) {
    picture = address(await (await ask(file, "format=overlay&opacity=0", signal)).blob());
    await shown(original, picture);
  }
  at("of").textContent = file.name;
  at("below").src = picture;
  // Transparent where an overlay paints nothing: over the picture it shows the same as ?format=overlay.
  at("labels").src = png(answer.layer_png);
  at("save-labels").href = labels;
  for (const figure of document.querySelectorAll(".pictures figure"))
    figure.style.maxWidth = `calc(75vh * ${answer.width / answer.height})`;
  at("notes").replaceChildren(...answer.notes.map((note) => {
    const line = document.createElement("li");
    line.textContent = note;
    return line;
  }));
  at("notes").hidden = !answer.notes.length;
  tabulate(answer.classes);
  at("drop").classList.add("compact");
  at("limits").hidden = true;
  at("result").hidden = false;
  old.forEach((made) => URL.revokeObjectURL(made));
}

function tabulate(classes) {
  const present = classes.filter((entry) => entry.pixels > 0).sort((a, b) => b.pixels - a.pixels);
  at("legend").replaceChildren(...present.map((entry) => {
    const row = document.createElement("tr");
    const name = row.appendChild(document.createElement("th"));
    name.scope = "row";
    const swatch = name.appendChild(document.createElement("span"));
    swatch.className = "swatch";
    swatch.style.backgroundColor = `rgb(${entry.colour.join(" ")})`;
    name.append(entry.name);
    const number = row.appendChild(document.createElement("td"));
    number.className = "number";
    number.textContent = share(entry.share);
    const bar = row.appendChild(document.createElement("td"));
    bar.className = "bar";
    bar.appendChild(document.createElement("span")).style.width = `${100 * entry.share}%`;
    return row;
  }));
  const absent = classes.filter((entry) => entry.pixels === 0).map((entry) => entry.name);
  at("absent").textContent = absent.length ? `Not seen: ${absent.join(", ")}` : "";
}

function fade() {
  at("labels").style.opacity = at("opacity").value / 100;
  at("percent").textContent = `${at("opacity").value} %`;
}

at("file").addEventListener("change", (event) => {
  const [file] = event.target.files;
  if (file) segment(file);
  event.target.value = ""; // so that the same file can be chosen again
});
at("opacity").addEventListener("input", fade);
at("key").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", at("token").value.trim());
  at("key").hidden = true;
  at("drop").hidden = false;
  at("error").hidden = true;
  load();
});
for (const kind of ["dragenter", "dragover"])
  addEventListener(kind, (event) => { event.preventDefault(); at("drop").classList.add("over"); });
addEventListener("dragleave", (event) => { if (!event.relatedTarget) at("drop").classList.remove("over"); });
addEventListener("drop", (event) => {
  event.preventDefault();
  at("drop").classList.remove("over");
  const [file] = event.dataTransfer.files;
  if (file) segment(file);
});
addEventListener("paste", (event) => {
  const [file] = event.clipboardData.files;
  if (file) segment(file);
});
fade();
load();
