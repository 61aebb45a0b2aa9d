"""Pods are asked how far they are."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from dto_operator.progress import ProgressReader
from dto_operator.sightings import Sightings


@pytest.fixture
def stage():
    """A pod's own server; what it answers is set by the test."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            text = stage.answer.encode()
            self.send_response(stage.code)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            pass

    stage = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    stage.code, stage.answer = 200, json.dumps({"done": 3, "inputs": 8})
    thread = threading.Thread(target=stage.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield stage
    stage.shutdown()
    stage.server_close()
    thread.join()


class Asked:
    """A reader, the pods it sees, and the runs it had looked at."""

    def __init__(self, port):
        self.sightings, self.amounts, self.moved = Sightings(), {}, []
        self.reader = ProgressReader(self.sightings, port, self.amounts, self.moved.append)

    def pod(self, name, version=1, **status):
        metadata = {"name": name, "uid": name, "resourceVersion": str(version), "labels": {"dto.run/run-uid": "r"}}
        self.sightings.notice("Pod", {"metadata": metadata, "status": {"podIP": "127.0.0.1", **status}})

    def round(self):
        with ThreadPoolExecutor(2) as pool:
            self.reader.round(pool)


def test_a_running_pod_says_how_far_it_is_and_its_run_is_looked_at_when_it_goes_on(stage):
    asked = Asked(stage.server_port)
    asked.pod("p", phase="Running")
    asked.round()
    asked.round()
    assert asked.amounts == {"p": (3, 8)}
    assert asked.moved == ["r"]
    stage.answer = json.dumps({"done": 4, "inputs": 8})
    asked.round()
    assert asked.amounts == {"p": (4, 8)}
    assert asked.moved == ["r", "r"]


def test_what_has_ended_or_not_begun_is_not_asked_and_forgotten(stage):
    asked = Asked(stage.server_port)
    asked.pod("p", phase="Running")
    asked.pod("q", phase="Pending")
    asked.round()
    asked.pod("p", version=2, phase="Succeeded")
    asked.round()
    assert asked.amounts == {}


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        (200, "no JSON"),
        (200, '{"done": 3, "inputs": null}'),
        (200, '{"done": 9, "inputs": 8}'),
        (200, '{"done": "3", "inputs": 8}'),
        (200, "[]"),
        (500, '{"done": 3, "inputs": 8}'),
    ],
)
def test_an_answer_that_tells_nothing_is_no_progress(stage, code, answer):
    stage.code, stage.answer = code, answer
    asked = Asked(stage.server_port)
    asked.pod("p", phase="Running")
    asked.round()
    assert asked.amounts == {}
    assert asked.moved == []


def test_a_pod_that_does_not_answer_is_no_trouble(stage):
    stage.shutdown()
    stage.server_close()
    asked = Asked(stage.server_port)
    asked.pod("p", phase="Running")
    asked.round()
    assert asked.amounts == {}
