// The dashboard: what the live events say, and a few figures that are asked for every 10 seconds.

import { get, key } from "/dashboard/server.js";
import { listen } from "/dashboard/live.js";
import { Graph } from "/dashboard/graph.js";
import * as models from "/dashboard/models.js";
import * as chat from "/dashboard/chat.js";

const find = (id) => document.getElementById(id);
const graph = new Graph();
let speed = { value: 0, peak: 0, at: 0 }; // the peak is that since the last sample of the graph
let connection = "waiting";

// ------------------------------------------------------------------------------------------------------- drawing

function memory({ vram_used_gb: used, vram_total_gb: total, pct }) {
  const percent = Math.min(Math.max(pct, 0), 100);
  find("gauge-fill").setAttribute("stroke-dasharray", `${percent} 100`);
  find("gauge-percent").textContent = `${percent.toFixed(0)} %`;
  find("gauge-bytes").textContent = `${used.toFixed(1)} of ${total.toFixed(1)} GiB`;
  find("gauge").dataset.level = percent >= 80 ? "bad" : percent >= 60 ? "warn" : "good";
  find("gauge").setAttribute("aria-valuenow", percent.toFixed(0));
  find("gauge").setAttribute("aria-valuetext", `${percent.toFixed(0)} percent, ${used.toFixed(1)} of ${total.toFixed(1)} gibibytes`);
  if (percent < 85) find("memory-alert").hidden = true;
}

function alarm(event) {
  find("memory-alert").textContent = `${event.message} (${event.pct.toFixed(1)} %)`;
  find("memory-alert").hidden = false;
}

function health() {
  const count = models.loaded().length;
  const [state, text] =
    connection === "live" ? (count ? ["ready", count === 1 ? "ready" : `ready, ${count} models`] : ["empty", "no model loaded"])
    : connection === "refused" ? ["lost", "the server wants a key"]
    : connection === "lost" ? ["lost", "connection lost, trying again"]
    : ["waiting", "connecting"];
  find("health").dataset.state = state;
  if (find("health-text").textContent !== text) find("health-text").textContent = text;
}

function beat(event) {
  const minutes = Math.floor(event.uptime / 60);
  find("uptime").textContent = `up ${minutes >= 60 ? `${Math.floor(minutes / 60)} h ` : ""}${minutes % 60} min`;
  find("health").classList.remove("beat");
  requestAnimationFrame(() => find("health").classList.add("beat"));
}

function formats(paths) {
  const shown = Object.entries(paths ?? {}).filter(([, path]) => path.requests);
  if (!shown.length) return;
  const names = { mlx: ["MLX", "native"], gguf: ["GGUF", "compatibility"] };
  document.querySelector("#formats tbody").replaceChildren(...shown.map(([format, path]) => {
    const row = document.createElement("tr");
    const [name, remark] = names[format] ?? [format, ""];
    row.append(Object.assign(document.createElement("th"), { scope: "row", textContent: name }));
    row.firstChild.append(Object.assign(document.createElement("small"), { textContent: remark }));
    const figures = [path.prefill_tokens_per_second, path.decode_tokens_per_second].map((figure) => figure?.toFixed(1) ?? "–");
    for (const text of [...figures, path.requests]) row.append(Object.assign(document.createElement("td"), { textContent: text }));
    return row;
  }));
  const [mlx, gguf] = [paths.mlx?.decode_tokens_per_second, paths.gguf?.decode_tokens_per_second];
  find("formats-gap").textContent = mlx && gguf
    ? `Answers from GGUF came at ${((100 * gguf) / mlx).toFixed(0)} % of the speed of those from MLX: over all of this server's traffic, whatever the models and the load.`
    : "";
}

function errors(list) {
  if (!list?.length) return;
  find("errors").replaceChildren(...list.slice(-20).reverse().map((error) => {
    const time = document.createElement("time");
    const date = new Date(typeof error.timestamp === "number" ? error.timestamp * 1000 : error.timestamp);
    time.dateTime = date.toISOString();
    time.textContent = date.toLocaleTimeString();
    const item = document.createElement("li");
    item.append(time, `${error.category ?? error.event_type}: ${error.message}`);
    return item;
  }));
}

// -------------------------------------------------------------------------------------------------------- asking

async function ask() {
  const [status, figures, diagnostics] = await Promise.all([get("/admin/status"), get("/admin/metrics/json"), get("/admin/diagnostics")]);
  find("version").textContent = status.version;
  formats(figures.per_format);
  errors(diagnostics.recent_errors);
  await models.refresh();
  health();
}

const arms = {
  throughput: ({ tokens_per_second: value }) => (speed = { value, peak: Math.max(value, speed.peak), at: performance.now() }),
  memory, heartbeat: beat, memory_warning: alarm, memory_critical: alarm,
  model_event: models.noted,
};

listen(
  (event) => arms[event.type]?.(event),
  (state) => {
    if (state === connection) return;
    connection = state;
    if (state === "live") ask().catch(() => {});
    health();
  });

setInterval(() => {
  graph.add(performance.now() - speed.at < 2000 ? Math.max(speed.value, speed.peak) : 0);
  speed.peak = 0;
}, 1000);
setInterval(() => connection === "live" && ask().catch(() => {}), 10_000);
setInterval(health, 1000);
chat.start();

find("key-open").addEventListener("click", () => find("key-dialog").showModal());
find("key-dialog").addEventListener("close", () => {
  if (find("key-dialog").returnValue === "save") {
    key.set(find("key-input").value);
    location.reload();
  }
  find("key-input").value = "";
});
