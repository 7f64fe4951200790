"""A server of ours on a free loopback port, and the few requests that the benchmark and the soak test send it."""
import contextlib
import http.client
import json
import pathlib
import socket
import subprocess
import tempfile
import time


class Server:
    """Started, waited for, and ended with the block: `with Server(...) as server`."""

    def __init__(self, lmx, model, *arguments):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.id = pathlib.Path(model).name.removesuffix(".gguf")
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([str(lmx), "serve", str(model), "--port", str(self.port), *map(str, arguments)],
                                        stdout=self.log, stderr=self.log)

    def __enter__(self):
        start = time.monotonic()
        while time.monotonic() - start < 120:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
                status, answer = self.get("/readyz", 5)
                if status == 200:
                    return self
            time.sleep(0.05)
        self.__exit__()
        raise RuntimeError("the server did not become ready: " + self.words())

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def words(self):
        self.log.seek(0)
        return self.log.read()[-2000:]

    def get(self, path, timeout=60):
        with self.connection(timeout) as connection:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()

    @contextlib.contextmanager
    def connection(self, timeout=300):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            yield connection
        finally:
            connection.close()

    def post(self, body, path="/v1/chat/completions", timeout=300):
        with self.connection(timeout) as connection:
            payload = body if isinstance(body, bytes) else json.dumps(body).encode()
            connection.request("POST", path, payload, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read()

    def stream(self, messages, tokens, until=None, **more):
        """Yields (seconds since the request, event) for each event of a streamed chat; closes the connection when left."""
        body = {"model": self.id, "messages": messages, "max_tokens": tokens, "temperature": 0, "stream": True,
                "stream_options": {"include_usage": True}, **more}
        with self.connection() as connection:
            start = time.monotonic()
            connection.request("POST", "/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
            response = connection.getresponse()
            if response.status != 200:
                raise RuntimeError(f"status {response.status}: {response.read()[:200].decode(errors='replace')}")
            while line := response.readline():
                if line.startswith(b"data: {"):
                    yield time.monotonic() - start, json.loads(line[6:])
                elif line.startswith(b"data: [DONE]"):
                    return

    def chat(self, messages, tokens, **more):
        """Text, usage, seconds to the first token, and the times of all pieces of text."""
        text, usage, times = [], {}, []
        for seconds, event in self.stream(messages, tokens, **more):
            usage = event.get("usage") or usage
            for choice in event.get("choices", []):
                if choice.get("delta", {}).get("content"):
                    times.append(seconds)
                    text.append(choice["delta"]["content"])
        return {"text": "".join(text), "usage": usage, "first": times[0] if times else None, "times": times}

    def resident_bytes(self, key="VmRSS"):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1]) * 1024
        return 0

    @property
    def alive(self):
        return self.process.poll() is None


def prose(words, seed):
    """English of about so many words out of the committed text, another place for every seed; the seed leads, so that no two begin alike."""
    text = (pathlib.Path(__file__).resolve().parents[2] / "testdata/text/english.txt").read_text().split()
    start = seed * 997 % max(1, len(text) - words)
    return f"Text {seed}: " + " ".join((text * (1 + words // len(text)))[start:start + words])
