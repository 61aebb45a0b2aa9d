"""What a pod is told is what `dto` takes: every step's command and variables, as their manifests say, run as processes here."""

import json
import os
import subprocess
import sys

import pytest

from dto_jobs.termination import parse
from dto_operator.job_manifest import manifests
from dto_operator.orders import Start
from dto_operator.settings import OperatorSettings

UID = "5f2b6c0e-3c1d-4f0e-9a57-0d6a5f0c1b2a"
SPEC = {
    "model": {"source": "builtin:tiny-reasoner"},
    "problems": {"source": "builtin:graded-sums", "limit": 300},
    "engine": {"scripted": {}},
    "until": "exits",
    "stages": {"rollout": {"samples": 2, "job": {"shards": 2}}},
}
HELD = {
    "generation": 1,
    "resourceVersion": "12",
    "creationTimestamp": "2026-01-01T00:00:00Z",
    "finalizers": ["dto.run/artifacts"],
}


class Pods:
    """Runs the pods of attempts on this machine, their paths moved into a folder."""

    def __init__(self, folder, spec=SPEC):
        self.folder = folder
        metadata = {"name": "r", "namespace": "team", "uid": UID, "labels": {"a": "b"}} | HELD
        self.run = {
            "apiVersion": "dto.run/v1alpha1",
            "kind": "DTORun",
            "metadata": metadata,
            "spec": spec,
            "status": {"phase": "Running"},
        }

    def make(self, step, plan=None, index=0, **more):
        job = manifests(self.run, Start(step, 1, plan=plan, **more), OperatorSettings(store="s3://unused"))[-1]
        container = job["spec"]["template"]["spec"]["containers"][0]
        run = self.folder / "run.json"
        run.write_text(job["spec"]["template"]["metadata"]["annotations"].get("dto.run/run", ""))
        words = self.folder / "words"
        words.touch()
        told = {one["name"]: one["value"].replace("/scratch", str(self.folder / "scratch")) for one in container["env"]}
        told |= {"DTO_STORE": str(self.folder / "store"), "DTO_TERMINATION_LOG": str(words), "DTO_METRICS_PORT": "0"}
        told |= {
            "JOB_COMPLETION_INDEX": str(index),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        }
        assert container["command"] == ["dto"]
        arguments = [str(run) if one == "/etc/dto/run.json" else one for one in container["args"]]
        done = subprocess.run(
            [sys.executable, "-m", "dto_jobs", *arguments], check=False, capture_output=True, text=True, env=told
        )
        said = parse(words.read_text())
        assert said is not None, done.stdout + done.stderr
        assert (said.state, said.exit_code, done.returncode) == ("done", 0, 0), said.message
        return said


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run made pod by pod, with what each of them said."""
    pods = Pods(tmp_path_factory.mktemp("pods"))
    said = {"preflight": pods.make("preflight")}
    plan = said["preflight"].plan
    said["first shard"], said["rollout"] = (pods.make("rollout", plan, index) for index in (0, 1))
    said["exits"] = pods.make("exits", plan)
    said["results"] = pods.make("results", plan)
    return pods, said


def test_the_preflight_settles_a_plan_under_the_runs_uid(made):
    _, said = made
    assert said["preflight"].plan == f"store:runs/{UID}/plan.json"
    assert [(step.name, step.reused) for step in said["preflight"].steps] == [
        ("rollout", False),
        ("exits", False),
    ]


def test_each_stage_ends_with_its_receipt(made):
    _, said = made
    assert said["first shard"].receipt is None
    assert said["rollout"].shard == "1/2"
    assert all(said[step].receipt for step in ("rollout", "exits"))


def test_the_results_are_told(made):
    _, said = made
    assert said["results"].results["exits"]


def test_a_receipt_nobody_read_is_collected(made):
    pods, said = made
    again = pods.make("exits", said["preflight"].plan, work="collect")
    assert again.receipt == said["exits"].receipt


def test_a_rerun_makes_anew_from_its_stage_on(made):
    pods, said = made
    again = pods.make("preflight", rerun_from="exits")
    assert {step.name: step.reused for step in again.steps} == {"rollout": True, "exits": False}
    # And back, so that the order of tests does not matter.
    assert all(step.reused for step in pods.make("preflight").steps)
    assert said["preflight"].run == again.run


def test_a_stage_without_cache_takes_no_other_runs_artifact_and_keeps_its_own(made):
    pods, _ = made
    spec = json.loads(json.dumps(SPEC))
    spec["stages"]["rollout"]["job"]["cache"] = False
    other = Pods(pods.folder, spec)
    other.run["metadata"] = {**other.run["metadata"], "uid": "another"}
    found = {step.name: step.reused for step in other.make("preflight").steps}
    assert found == {"rollout": False, "exits": True}
    own = Pods(pods.folder, spec)
    assert all(step.reused for step in own.make("preflight").steps)


def test_intermediates_are_discarded_and_then_all_that_the_run_has(tmp_path):
    pods = Pods(tmp_path, SPEC | {"stages": {}})
    plan = pods.make("preflight").plan
    for step in ("rollout", "exits", "results"):
        pods.make(step, plan)
    place = tmp_path / "store/runs" / UID
    assert list(place.rglob("part-*"))
    first = pods.make("discard", plan)
    assert not list(place.rglob("part-*"))
    assert (place / "results.json").exists()
    assert first.stage == "discard"
    pods.make("discard", work="discard")
    assert not [path for path in place.rglob("*") if path.is_file()]
