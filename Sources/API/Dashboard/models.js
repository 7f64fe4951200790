// The table of models: what is on disk, what is loaded, how far a load has come.

import { get, post } from "/dashboard/server.js";

const body = document.querySelector("#models tbody");
const message = document.getElementById("models-message");
const choice = document.getElementById("chat-model");
const words = { absent: "not loaded", ready: "loaded", draining: "unloading", failed: "failed" };
const loading = new Map(); // id → fraction loaded, while a load runs
let models = [];

export const loaded = () => models.filter((model) => model.loaded);

export async function refresh() {
  models = (await get("/admin/models")).models;
  for (const model of models) {
    if (model.state === "loading") loading.set(model.id, model.progress ?? 0);
    else if (model.loaded || model.state === "failed") loading.delete(model.id);
  }
  draw();
}

/** A model event of the live stream. */
export function noted(event) {
  if (event.action === "loading") loading.set(event.model, event.progress ?? 0);
  else loading.delete(event.model);
  if (event.action === "failed") tell(`${event.model}: ${event.reason ?? "could not be loaded"}`);
  if (event.action === "loading") draw();
  else refresh().catch(() => {});
}

function tell(text) {
  message.textContent = text ?? "";
  message.hidden = !text;
}

async function change(model, path) {
  tell();
  if (path.endsWith("/load")) loading.set(model.id, 0);
  draw();
  try {
    await post(path, { model: model.id });
  } catch (error) {
    loading.delete(model.id);
    tell(error.message);
  }
  await refresh().catch(() => {});
}

function cell(...children) {
  const made = document.createElement("td");
  made.append(...children);
  return made;
}

const small = (text) => Object.assign(document.createElement("small"), { textContent: text });

const size = (bytes) => (bytes >= 2 ** 30 / 10 ? `${(bytes / 2 ** 30).toFixed(2)} GiB` : `${(bytes / 2 ** 20).toFixed(bytes < 2 ** 20 ? 2 : 0)} MiB`);

function state(model) {
  if (!loading.has(model.id)) return [words[model.state] ?? (model.loaded ? "loaded" : "not loaded")];
  const bar = document.createElement("progress");
  bar.max = 1;
  bar.value = loading.get(model.id);
  bar.setAttribute("aria-label", `loading ${model.id}`);
  return [bar];
}

function draw() {
  const focused = document.activeElement?.dataset?.model;
  body.replaceChildren(...models.map((model) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = model.loaded ? "Unload" : "Load";
    button.dataset.model = model.id;
    button.disabled = loading.has(model.id) || model.state === "draining";
    button.setAttribute("aria-label", `${button.textContent} ${model.id}`);
    button.addEventListener("click", () => change(model, model.loaded ? "/admin/models/unload" : "/admin/models/load"));
    const row = document.createElement("tr");
    const name = document.createElement("th");
    name.scope = "row";
    name.append(model.id, small([model.format, model.quantization].filter(Boolean).join(" ")));
    row.append(name, cell(size(model.vram_bytes ?? model.size_bytes ?? 0), small(model.loaded ? "in memory" : "on disk")), cell(...state(model)), cell(button));
    return row;
  }));
  if (!models.length) {
    const empty = cell("No model in the model folders.");
    empty.colSpan = 4;
    const row = document.createElement("tr");
    row.append(empty);
    body.append(row);
  }
  if (focused) [...body.querySelectorAll("button")].find((button) => button.dataset.model === focused)?.focus();

  const names = loaded().map((model) => model.id);
  if (names.join("\n") !== [...choice.options].map((option) => option.value).join("\n")) {
    const before = choice.value;
    choice.replaceChildren(...names.map((name) => new Option(name, name)));
    if (names.includes(before)) choice.value = before;
  }
  choice.disabled = !names.length;
}
