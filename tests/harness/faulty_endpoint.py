"""A small server for what a real one does not do on demand: storms, resets, nonsense."""

import json
import threading
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from dto_jobs.endpoint import Endpoint


@dataclass(frozen=True)
class Said:
    """What the server answers; a body of None ends the connection without a word."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def chat(text: Any, finish: str = "stop") -> Said:
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text}}
    return Said(
        {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}
    )


def error(status: int, message: str, **headers: str) -> Said:
    return Said({"error": {"message": message, "type": "x", "code": None}}, status, headers)


@dataclass
class Server:
    """A server, what it was asked, and how many requests it held at once at most."""

    url: str
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    at_once: int = 0

    def endpoint(self, **settings: Any) -> Endpoint:
        return Endpoint(url=self.url, model="m", **settings)


class _Quiet(ThreadingHTTPServer):
    """A server that does not mind callers who hang up."""

    daemon_threads = True

    def handle_error(self, *_):
        """Say nothing."""


@contextmanager
def serving(answer: Callable[[dict[str, Any]], Said]):
    """Serve `answer` of each request's body on a free port."""
    lock, inside = threading.Lock(), [0]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with lock:
                inside[0] += 1
                server.at_once = max(server.at_once, inside[0])
                server.asked.append(body)
                server.headers.append({name.lower(): value for name, value in self.headers.items()})
            said = answer(body)
            with lock:
                inside[0] -= 1
            if said.body is None:
                self.connection.close()
                return
            data = said.body if isinstance(said.body, bytes) else json.dumps(said.body).encode()
            self.send_response(said.status)
            for name, value in {"content-type": "application/json", **said.headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            """Say nothing."""

    http = _Quiet(("127.0.0.1", 0), Handler)
    server = Server(f"http://127.0.0.1:{http.server_port}/v1")
    thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
