// The server's live events, again and again: a lost connection is told, and taken up where it ended.

import { frames, Refusal } from "/dashboard/server.js";

const silence = 25_000; // milliseconds without a frame after which the connection counts as lost; heartbeats come every 10 s

/** Calls onEvent(value) for every unnamed frame and onState("live" | "lost" | "refused", error) as the connection changes. */
export async function listen(onEvent, onState) {
  let lastId = "";
  for (let pause = 1000; ; pause = Math.min(pause * 2, 10_000)) {
    const abort = new AbortController();
    let timer = setTimeout(() => abort.abort(), silence);
    try {
      for await (const frame of frames("GET", "/admin/events", undefined, abort.signal, lastId)) {
        clearTimeout(timer);
        timer = setTimeout(() => abort.abort(), silence);
        pause = 1000;
        onState("live");
        if (frame.id) lastId = frame.id;
        if (frame.event === "message") onEvent(JSON.parse(frame.data));
      }
      onState("lost");
    } catch (error) {
      onState(error instanceof Refusal && (error.status === 401 || error.status === 403) ? "refused" : "lost", error);
    } finally {
      clearTimeout(timer);
      abort.abort();
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}
