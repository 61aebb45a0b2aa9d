"""`kubectl dto` on a real API server: a run that is submitted by it, made by real stage processes, and asked about by it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from local_kubelet import LocalKubelet
from minio_service import ACCESS, SECRET
from operator_process import PATHS, Ground, OperatorProcess, owned
from pages import commands
from service_process import built, free_port

from dto_jobs.artifacts.addresses import open_store
from dto_jobs.core.records import PrunedTrace
from dto_operator.plugin.reference import page

ROOT = Path(__file__).parents[2]
MADE = ("rollout", "exits")
STEPS = ("preflight", *MADE, "results")
RUN = {
    "apiVersion": "dto.run/v1alpha1",
    "kind": "DTORun",
    "metadata": {"name": "my-run"},
    "spec": {
        "model": {"source": "builtin:tiny-reasoner"},
        "problems": {"inline": [{"id": str(n), "problem": f"{n} + 5", "answer": str(n + 5)} for n in range(1, 31)]},
        "engine": {"scripted": {}},
        "stages": {"rollout": {"samples": 2, "job": {"shards": 2}}},
        "until": "exits",
    },
}


class Person:
    """Somebody at a terminal, with a kubeconfig, `kubectl` and the plugin; no keys of a bucket but by the run's Secret."""

    def __init__(self, kubeconfig: Path, folder: Path, namespace: str) -> None:
        self.folder, self._namespace = folder, namespace
        plugin = folder / "bin/kubectl-dto"
        plugin.parent.mkdir(exist_ok=True)
        plugin.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dto_operator.plugin "$@"\n')
        plugin.chmod(0o755)
        own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "DTO_"))}
        paths = f"{plugin.parent}:{built('kubernetes/kubectl')}:{os.environ['PATH']}"
        self.environment = {**own, "KUBECONFIG": str(kubeconfig), "PYTHONPATH": PATHS, "PATH": paths}

    def typed(self, *words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """Return what came of `kubectl dto …`; whatever it is, there is no traceback and no key in it."""
        command = ["kubectl", "dto", *map(str, words), f"--namespace={self._namespace}"]
        surroundings = self.environment | environment
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=surroundings, cwd=self.folder)
        assert "Traceback" not in done.stderr
        assert SECRET not in done.stdout + done.stderr
        return done

    def told(self, *words: str | Path) -> str:
        """Return what `kubectl dto …` says; it must be well."""
        done = self.typed(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refused(self, code: int, *words: str | Path, **environment: str) -> str:
        """Return why `kubectl dto …` does not do it."""
        done = self.typed(*words, **environment)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stderr


@pytest.fixture(scope="module")
def ground(runs) -> Ground:
    return Ground(runs.server)


@pytest.fixture(scope="module")
def person(ground, tmp_path_factory) -> Person:
    return Person(ground.server.kubeconfig, tmp_path_factory.mktemp("person"), ground.namespace)


@pytest.fixture(scope="module")
def kubelet(ground, tmp_path_factory) -> Iterator[LocalKubelet]:
    folder = tmp_path_factory.mktemp("node")
    operator = OperatorProcess(ground.server.kubeconfig, ground.namespace, folder / "operator.log").start()
    node = LocalKubelet(ground, folder)
    yield node
    node.close()
    operator.kill()
    sys.stderr.write(operator.log[-5000:])


@pytest.fixture(scope="module")
def run_file(ground, person, minio_server) -> Path:
    secret = {"metadata": {"name": "bucket"}, "stringData": {"accessKey": ACCESS, "secretKey": SECRET}}
    ground.ask("POST", ground.path("/api/v1", "secrets"), secret)
    artifacts = {"bucket": minio_server.bucket(), "prefix": "team", "endpoint": minio_server.endpoint}
    content = RUN | {"spec": RUN["spec"] | {"artifacts": artifacts | {"secretRef": {"name": "bucket"}}}}
    file = person.folder / "run.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


@pytest.fixture(scope="module")
def asked(ground, person, kubelet, run_file) -> str:
    """A run that was submitted and is complete."""
    said = json.loads(person.told("submit", run_file, "--json"))
    assert said["uid"] == ground.run("my-run")["metadata"]["uid"]
    kubelet.work_off("my-run", STEPS)
    ground.until(lambda: ground.condition("my-run", "Complete"))
    return "my-run"


def test_the_page_follows_the_commands():
    assert (ROOT / "docs/kubectl-dto.md").read_text() == page(), "run `make docs`"


def test_it_needs_no_library_but_those_that_always_come():
    away = "('kopf', 'kubernetes', 'minio', 'zstandard', 'numpy', 'openai', 'prometheus_client')"
    program = f"import sys; sys.modules.update(dict.fromkeys({away})); import dto_operator.plugin.app"
    surroundings = {**os.environ, "PYTHONPATH": PATHS}
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, env=surroundings, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.services
def test_a_file_that_is_wrong_is_refused_in_the_words_of_validate(person, run_file):
    content = yaml.safe_load(run_file.read_text())
    content["spec"]["stages"]["exits"] = {"treshold": 2}
    wrong = person.folder / "wrong.yaml"
    wrong.write_text(yaml.safe_dump(content))
    words = [sys.executable, "-m", "dto_jobs", "validate", str(wrong)]
    said = subprocess.run(words, check=False, capture_output=True, text=True, env=person.environment)
    assert "did you mean `threshold`?" in said.stderr
    assert person.refused(2, "submit", wrong).split() == said.stderr.replace(str(wrong), str(wrong)).split()


@pytest.mark.services
def test_what_no_pod_can_have_is_refused_before_it_is_sent(person, run_file):
    content = yaml.safe_load(run_file.read_text())
    content["metadata"]["name"] = "local"
    content["spec"]["problems"] = {"source": "mine.jsonl"}
    local = person.folder / "local.yaml"
    local.write_text(yaml.safe_dump(content))
    assert "spec.problems.source: 'mine.jsonl' is on your machine" in person.refused(2, "submit", local)
    assert "there is no run 'local'" in person.refused(3, "status", "local")


@pytest.mark.services
def test_what_the_server_refuses_is_told_as_it_says_it(person, run_file, asked):
    assert asked == "my-run"
    content = yaml.safe_load(run_file.read_text())
    content["spec"]["seed"] = 5
    other = person.folder / "other.yaml"
    other.write_text(yaml.safe_dump(content))
    assert "cannot be changed once the run exists" in person.refused(2, "submit", other)


@pytest.mark.services
def test_status_is_what_the_server_holds(ground, person, asked):
    held, told = ground.run(asked)["status"], json.loads(person.told("status", asked, "--json"))
    assert told["phase"] == held["phase"] == "Succeeded"
    assert [row["state"] for row in told["stages"]] == ["Succeeded"] * len(held["stages"])
    table = person.told("status", asked)
    assert all(row["name"] in table for row in held["stages"])
    assert {"name": asked, "phase": "Succeeded"}.items() <= json.loads(person.told("status", "--json"))[0].items()
    assert asked in person.told("status")


@pytest.mark.services
def test_cost_adds_up_what_stages_said(ground, person, asked):
    rows = ground.run(asked)["status"]["stages"]
    told = json.loads(person.told("cost", asked, "--json"))
    generated = sum(row.get("figures", {}).get("generated", 0) for row in rows)
    assert told["total"]["generated"] == generated > 0
    flops = {
        row["name"]: row["figures"].get("denseFlops", 0) + row["figures"].get("attentionFlops", 0)
        for row in rows
        if row.get("figures")
    }
    assert {row["stage"]: row["flops"] for row in told["stages"]} == pytest.approx(flops)
    assert "no evaluation yet" in person.told("cost", asked)


@pytest.mark.services
def test_artifacts_lie_where_it_says(person, asked, monkeypatch, minio_server):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    rows = json.loads(person.told("artifacts", asked, "--json"))
    assert [row["stage"] for row in rows] == list(MADE)
    for row in rows:
        assert open_store(row["uri"], minio_server.endpoint).exists("receipt.json")
    assert minio_server.endpoint in person.told("artifacts", asked)


@pytest.mark.services
def test_logs_are_those_of_all_shards(person, asked):
    pods = json.loads(person.told("logs", asked, "rollout", "--json"))
    assert [pod["shard"] for pod in pods] == [0, 1]
    said = person.told("logs", asked, "rollout", "--follow")
    assert all(f"[pod/{pod['pod']}/dto]" in said for pod in pods)
    assert "exits" in person.told("logs", asked, "exits")
    assert "no such stage" in person.refused(2, "logs", asked, "rolout")
    assert "no pods of training" in person.refused(3, "logs", asked, "training")


@pytest.mark.services
def test_the_report_comes_from_the_bucket(person, asked):
    assert "report: my-run.html" in person.told("report", asked)
    assert "<html" in (person.folder / "my-run.html").read_text()
    results = json.loads(person.told("report", asked, "--json"))
    assert results["exits"]["traces"] == 60


@pytest.mark.services
def test_what_the_tutorial_tells_to_type_works(person, asked, minio_server, run_file):
    (person.folder / "my-run.yaml").write_text(run_file.read_text())
    told = [one for one in commands(ROOT / "docs/tutorials/ml-engineer.md") if one.startswith("kubectl dto ")]
    assert len(told) == 7
    for command in told:
        assert asked in command
        words = command.replace("http://127.0.0.1:9000", minio_server.endpoint).split()
        assert person.told(*words[2:])


@pytest.mark.services
def test_a_bucket_out_of_reach_is_told_with_the_way_to_it(person, asked):
    nowhere = f"http://127.0.0.1:{free_port()}"
    said = person.refused(4, "report", asked, f"--endpoint={nowhere}", DTO_S3_PATIENCE="0.1")
    assert nowhere in said
    assert "port-forward" in said


@pytest.mark.services
def test_inspect_shows_a_problems_traces(person, asked):
    some = person.refused(3, "inspect", asked, "none")
    problem = some.partition("for example, ")[2].partition(",")[0]
    traces = person.told("inspect", asked, problem, "--json").splitlines()
    assert len(traces) == 2
    assert PrunedTrace.model_validate_json(traces[0]).ended.trace.response.problem.id == problem
    assert problem in person.told("inspect", asked, problem)


@pytest.mark.services
def test_a_stage_is_computed_anew_as_often_as_it_is_asked_for(ground, person, kubelet, asked):
    uid = ground.run(asked)["metadata"]["uid"]
    for attempt in (2, 3):
        assert "goes on from exits" in person.told("resume", asked, "--from", "exits")
        kubelet.work_off(asked, ("preflight", "exits", "results"), attempt)
        ground.until(lambda: ground.condition(asked, "Complete"))
    attempts = {step: sum(owned(job, uid) for job in ground.jobs(step)) for step in ("rollout", "exits")}
    assert attempts == {"rollout": 1, "exits": 3}


@pytest.mark.services
@pytest.mark.usefixtures("kubelet")
def test_a_suspended_run_goes_on(ground, person, run_file):
    content = yaml.safe_load(run_file.read_text())
    content["metadata"]["name"], content["spec"]["suspend"] = "held", True
    file = person.folder / "held.yaml"
    file.write_text(yaml.safe_dump(content))
    person.told("submit", file)
    ground.until(lambda: ground.condition("held", "Suspended"))
    person.told("resume", "held")
    ground.until(lambda: not ground.run("held")["spec"].get("suspend"))
    assert "not suspended" in person.refused(3, "resume", "held")
    assert ground.until(lambda: [job for job in ground.jobs("preflight") if "held-" in job["metadata"]["name"]])


@pytest.mark.services
def test_errors_say_what_to_do(person, asked, tmp_path):
    said = person.refused(3, "cost", "my-ru")
    assert "there is no run 'my-ru' in this namespace; there are: " in said
    assert asked in said
    away = yaml.safe_load(Path(person.environment["KUBECONFIG"]).read_text())
    away["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{free_port()}"
    (tmp_path / "away.yaml").write_text(yaml.safe_dump(away))
    assert "check $KUBECONFIG" in person.refused(11, "status", KUBECONFIG=str(tmp_path / "away.yaml"))
    alone = subprocess.run(
        [sys.executable, "-m", "dto_operator.plugin", "status"],
        *(), check=False, capture_output=True, text=True, env=person.environment | {"PATH": str(tmp_path)},
    )  # fmt: skip
    assert (alone.returncode, "kubectl is not on the PATH" in alone.stderr) == (7, True)


@pytest.mark.services
def test_who_may_not_read_the_secret_is_told_of_the_other_way(ground, person, asked, tmp_path):
    rules = [{"apiGroups": ["dto.run"], "resources": ["dtoruns"], "verbs": ["get", "list"]}]
    group = "/apis/rbac.authorization.k8s.io/v1"
    ground.ask("POST", ground.path(group, "roles"), {"metadata": {"name": "reader"}, "rules": rules})
    account = {"kind": "ServiceAccount", "name": "default", "namespace": ground.namespace}
    binding = {
        "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [account],
    }
    ground.ask("POST", ground.path(group, "rolebindings"), binding)
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = ground.ask("POST", ground.path("/api/v1", "serviceaccounts", "default", "/token"), request)["status"][
        "token"
    ]
    content = ground.server.admin.configuration() | {"users": [{"name": "tests", "user": {"token": token}}]}
    (tmp_path / "reader.yaml").write_text(yaml.safe_dump(content))
    reader = {"KUBECONFIG": str(tmp_path / "reader.yaml")}
    said = person.refused(11, "report", asked, **reader)
    assert "which you may not read" in said
    assert "$AWS_ACCESS_KEY_ID" in said
    keys = {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET}
    done = person.typed("report", asked, "--output=own.html", **reader, **keys)
    assert done.returncode == 0, done.stderr
    assert "forbidden" in person.refused(11, "resume", asked, "--from", "exits", **reader)
