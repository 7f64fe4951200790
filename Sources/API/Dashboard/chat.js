// The chat box: one conversation, streamed, shown as Markdown, with the speed that was measured here.

import { frames } from "/dashboard/server.js";
import { render } from "/dashboard/markdown.js";

const log = document.getElementById("chat-log");
const input = document.getElementById("chat-input");
const send = document.getElementById("chat-send");
const stop = document.getElementById("chat-stop");
const speed = document.getElementById("chat-speed");
const model = document.getElementById("chat-model");
let conversation = [];
let abort = null;

function show(kind, ...children) {
  const made = document.createElement("div");
  made.className = `message ${kind}`;
  made.append(...children);
  log.append(made);
  log.scrollTop = log.scrollHeight;
  return made;
}

async function ask(text) {
  const asked = { role: "user", content: text };
  conversation.push(asked);
  show("user", text);
  const place = show("assistant", "…");
  log.setAttribute("aria-busy", "true"); // read out when it is whole
  send.hidden = true;
  stop.hidden = false;
  abort = new AbortController();
  let answer = "", first = 0, last = 0, tokens = 0, isDrawn = true;
  const draw = () => {
    const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 40;
    place.replaceChildren(...render(answer));
    if (atEnd) log.scrollTop = log.scrollHeight;
    isDrawn = true;
  };
  try {
    const body = { model: model.value || "auto", messages: conversation, stream: true, stream_options: { include_usage: true } };
    for await (const frame of frames("POST", "/v1/chat/completions", body, abort.signal)) {
      if (!frame.data || frame.data === "[DONE]") continue;
      const chunk = JSON.parse(frame.data);
      if (chunk.error) throw new Error(chunk.error.message);
      const piece = chunk.choices?.[0]?.delta?.content;
      if (piece) {
        answer += piece;
        tokens++;
        last = performance.now();
        first ||= last;
        if (isDrawn) requestAnimationFrame(draw), (isDrawn = false);
      }
      tokens = chunk.usage?.completion_tokens ?? tokens;
      const seconds = (last - first) / 1000;
      if (tokens > 1 && seconds > 0) speed.textContent = `${((tokens - 1) / seconds).toFixed(1)} tokens/s`;
    }
    draw();
    conversation.push({ role: "assistant", content: answer });
  } catch (error) {
    draw();
    if (error.name === "AbortError") conversation.push({ role: "assistant", content: answer });
    else {
      conversation = conversation.filter((message) => message !== asked);
      show("failed", error.message);
    }
  }
  log.removeAttribute("aria-busy");
  send.hidden = false;
  stop.hidden = true;
  abort = null;
}

export function start() {
  document.getElementById("chat-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = input.value.trim();
    if (!text || abort) return;
    input.value = "";
    ask(text);
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      event.target.form.requestSubmit();
    }
  });
  stop.addEventListener("click", () => abort?.abort());
  document.getElementById("chat-clear").addEventListener("click", () => {
    abort?.abort();
    conversation = [];
    log.replaceChildren();
    speed.textContent = "";
    input.focus();
  });
}
