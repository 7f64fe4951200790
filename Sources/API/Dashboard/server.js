// Talks to the server: JSON calls, streams of events, and the key that both carry.

const keyName = "lmx-key";

export const key = {
  get: () => sessionStorage.getItem(keyName) ?? "",
  set: (value) => (value ? sessionStorage.setItem(keyName, value) : sessionStorage.removeItem(keyName)),
};

function headers(body) {
  const all = {};
  if (key.get()) all["X-Admin-Key"] = key.get();
  if (body !== undefined) all["Content-Type"] = "application/json";
  return all;
}

/** What the server said of a request that it refused. */
export class Refusal extends Error {
  constructor(status, error) {
    super(error?.message ?? `the server answered ${status}`);
    this.status = status;
    this.code = error?.code;
  }
}

async function send(method, path, body, signal) {
  const answer = await fetch(path, {
    method, signal, headers: headers(body), body: body === undefined ? undefined : JSON.stringify(body), cache: "no-store",
  });
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => null);
  throw new Refusal(answer.status, said?.error);
}

export const get = async (path, signal) => (await send("GET", path, undefined, signal)).json();
export const post = async (path, body) => (await send("POST", path, body)).json();

/** The frames of an event stream: {id, event, data}. Ends with the stream. */
export async function* frames(method, path, body, signal, lastId) {
  const answer = await fetch(path, {
    method, signal, cache: "no-store",
    headers: { ...headers(body), ...(lastId ? { "Last-Event-ID": lastId } : {}) },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (!answer.ok) throw new Refusal(answer.status, (await answer.json().catch(() => null))?.error);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    for (let end; (end = rest.indexOf("\n\n")) >= 0; rest = rest.slice(end + 2)) {
      const frame = { event: "message", data: "" };
      for (const line of rest.slice(0, end).split("\n")) {
        const [, field, text] = /^([a-z]*): ?(.*)$/.exec(line) ?? [];
        if (field === "data") frame.data += text;
        else if (field) frame[field] = text;
      }
      if (frame.data) yield frame;
      else yield { event: "comment", data: "" };
    }
  }
}
