"""Requests to the API server: what is asked again, what is an error, and what is success although the server says no."""

import json
from types import SimpleNamespace

import pytest
import urllib3

from dto_operator.cluster import (
    TRIES,
    Cluster,
    ClusterError,
    ConflictError,
    MissingError,
    NotLeadingError,
    TakenNameError,
    UnavailableError,
)
from dto_operator.orders import Say
from dto_operator.pace import Pace

RUN = {"metadata": {"name": "r", "namespace": "ns", "uid": "u", "resourceVersion": "7"}}
JOB = {"kind": "Job", "metadata": {"name": "j", "namespace": "ns"}}


class Server:
    """Answers in turn with what it was given: a code with content, or a broken connection."""

    def __init__(self, *answers):
        self.answers, self.asked, self.slept = list(answers), [], []
        api = SimpleNamespace(
            configuration=SimpleNamespace(host="https://here"),
            rest_client=SimpleNamespace(request=self.request),
            update_params_for_auth=lambda *_: None,
        )
        self.cluster = Cluster(api, Pace(1000, lambda: 0.0, lambda _: None), sleep=self.slept.append)

    def request(self, verb, url, headers, body, _request_timeout):
        self.asked.append((verb, url.removeprefix("https://here"), body, headers))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        code, content, *more = answer
        text = json.dumps(content).encode() if not isinstance(content, bytes) else content
        return SimpleNamespace(status=code, read=lambda: text, headers=more[0] if more else {})


def owned(uid):
    return {"metadata": {"name": "j", "ownerReferences": [{"uid": uid, "controller": True}]}}


@pytest.mark.parametrize("code", [429, 500, 503, 504])
def test_what_may_work_later_is_asked_again(code):
    server = Server((code, {}), (code, {}), (201, {"made": 1}))
    assert server.cluster.create(JOB, "u") == {"made": 1}
    assert len(server.slept) == 2
    assert server.cluster.requests.counts == {("POST", str(code)): 2, ("POST", "201"): 1}


def test_a_broken_connection_is_asked_again_and_counted():
    server = Server(urllib3.exceptions.ProtocolError("gone"), (201, {}))
    server.cluster.create(JOB, "u")
    assert server.cluster.requests.counts == {("POST", "0"): 1, ("POST", "201"): 1}


def test_it_waits_as_long_as_the_server_asks():
    server = Server((429, {}, {"Retry-After": "3"}), (201, {}))
    server.cluster.create(JOB, "u")
    assert server.slept == [3.0]


def test_it_does_not_ask_for_ever():
    server = Server(*[(500, {"message": "broken"})] * TRIES)
    with pytest.raises(UnavailableError, match="broken"):
        server.cluster.create(JOB, "u")
    assert server.answers == []


@pytest.mark.parametrize(("code", "error"), [(404, MissingError), (403, ClusterError), (422, ClusterError)])
def test_what_no_repetition_mends_is_asked_once(code, error):
    server = Server((code, {"message": "no", "reason": "Because"}))
    with pytest.raises(error, match="no") as raised:
        server.cluster.create(JOB, "u")
    assert (raised.value.code, raised.value.reason) == (code, "Because")
    assert server.slept == []


def test_a_job_that_is_there_already_is_as_good_as_created_if_it_is_the_runs():
    server = Server((409, {}), (200, owned("u")))
    assert server.cluster.create(JOB, "u") == owned("u")
    server = Server((409, {}), (200, owned("another")))
    with pytest.raises(TakenNameError) as raised:
        server.cluster.create(JOB, "u")
    assert raised.value.held == owned("another")


def test_removing_names_the_uid_and_takes_what_is_gone_as_success():
    server = Server((404, {}), (409, {}), (200, {}))
    for _ in range(3):
        server.cluster.remove("Job", "ns", "j", "u1")
    verb, path, body, _ = server.asked[0]
    assert (verb, path) == ("DELETE", "/apis/batch/v1/namespaces/ns/jobs/j")
    assert body == {"propagationPolicy": "Background", "preconditions": {"uid": "u1"}}


def test_a_status_is_applied_to_the_run_as_it_was_seen():
    server = Server((200, {}))
    server.cluster.write_status(RUN, {"phase": "Running"})
    verb, path, body, headers = server.asked[0]
    assert verb == "PATCH"
    assert path == "/apis/dto.run/v1alpha1/namespaces/ns/dtoruns/r/status?fieldManager=dto-operator&force=true"
    assert body["metadata"] == {"name": "r", "namespace": "ns", "uid": "u", "resourceVersion": "7"}
    assert headers["Content-Type"] == "application/apply-patch+yaml"
    server = Server((409, {}))
    with pytest.raises(ConflictError):
        server.cluster.write_status(RUN, {})


def test_the_same_words_are_one_event_and_long_ones_are_cut():
    server = Server((201, {}), (409, {}), (201, {}))
    for message in ("a", "a", "é" * 2000):
        server.cluster.say(RUN, Say("Warning", "Reason", message))
    names = [body["metadata"]["name"] for _, _, body, _ in server.asked]
    assert names[0] == names[1] != names[2]
    note = server.asked[2][2]["note"]
    assert len(note.encode()) <= 1024
    assert set(note) == {"é"}


def test_a_log_is_read_to_its_last_kibibyte_and_is_nothing_where_there_is_none():
    server = Server((200, b"x" * 5000 + b"the end"), (400, {"message": "waiting to start"}))
    tail = server.cluster.log_tail("ns", "p")
    assert len(tail.encode()) == 1024
    assert tail.endswith("the end")
    assert server.cluster.log_tail("ns", "p") == ""


def test_lists_come_in_pages():
    page = {"apiVersion": "batch/v1", "items": [{"metadata": {"uid": "1"}}], "metadata": {"continue": "next"}}
    last = {"apiVersion": "batch/v1", "items": [{"metadata": {"uid": "2"}}], "metadata": {}}
    server = Server((200, page), (200, last))
    found = [held["metadata"]["uid"] for held in server.cluster.listed("Job", "ns")]
    assert found == ["1", "2"]
    assert "continue=next" in server.asked[1][1]
    assert all("labelSelector=app.kubernetes.io%2Fmanaged-by%3Ddto-operator" in url for _, url, _, _ in server.asked)


def test_who_does_not_lead_writes_nothing_but_may_read_and_write_the_lease():
    server = Server((200, {"items": [], "metadata": {}}), (201, {}))
    server.cluster.may_write = lambda: False
    for write in (
        lambda: server.cluster.create(JOB, "u"),
        lambda: server.cluster.remove("Job", "ns", "j", "u"),
        lambda: server.cluster.write_status(RUN, {}),
        lambda: server.cluster.say(RUN, Say("Normal", "R", "m")),
    ):
        with pytest.raises(NotLeadingError):
            write()
    assert server.asked == []
    assert list(server.cluster.listed("Job", None)) == []
    server.cluster.create_lease({"metadata": {"namespace": "ns"}})


def test_leadership_that_is_lost_between_two_tries_ends_them():
    server = Server((500, {}), (201, {}))
    leads = iter([True, False])
    server.cluster.may_write = lambda: next(leads)
    with pytest.raises(NotLeadingError):
        server.cluster.create(JOB, "u")
