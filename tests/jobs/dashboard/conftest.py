"""A Prometheus that answers whatever a test wants."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest


@dataclass
class Played:
    """A server with answers by the last part of the path; what it is asked is noted."""

    url: str = ""
    code: int = 200
    answers: dict[str, object] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)


@pytest.fixture
def played() -> Iterator[Played]:
    told = Played()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            what = parts.path.rpartition("/")[2]
            told.asked.append((what, {name: values[0] for name, values in parse_qs(parts.query).items()}))
            answer = told.answers.get(what, {"status": "success", "data": {"result": []}})
            text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(told.code)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_words: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        told.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield told
        server.shutdown()
        thread.join()


def found(*pairs: tuple[dict[str, str], list[tuple[float, str]]]) -> dict[str, object]:
    """Return an answer with series."""
    result = [{"metric": labels, "values": values, "value": values[-1]} for labels, values in pairs]
    return {"status": "success", "data": {"result": result}}


@pytest.fixture
def answer():
    return found
