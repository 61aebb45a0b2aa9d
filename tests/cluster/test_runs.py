"""Runs from end to end on a real cluster: in real pods of our images, by an operator that has its own rights only."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import zstandard
from installation import ACCOUNT, NAMESPACE, Installation
from minio_service import ACCESS, SECRET
from operator_process import ROOT, OperatorProcess
from service_process import missing

from dto_jobs.artifacts.addresses import open_store
from dto_jobs.artifacts.attempts import latest

# The first test of a machine waits until images of 6 GB are built and unpacked.
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]

LITTLE = {"resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "3Gi"}}}
# One thread computes the same bits here and there.
ONE_THREAD = {"env": [{"name": "OMP_NUM_THREADS", "value": "1"}]}
JOBS = Path(os.environ.get("DTO_JOBS_PYTHON", ROOT / "build/env-jobs-cpu/bin/python"))
TIMES = {"seconds", "gpuSeconds"}


def spec_of(engine: dict[str, Any], **stages: dict[str, Any]) -> dict[str, Any]:
    job = LITTLE | ONE_THREAD
    named = {name: {**stages.get(name, {}), "job": job | stages.get(name, {}).get("job", {})} for name in STAGES}
    return {
        "model": {"source": "builtin:tiny-reasoner"},
        "problems": {"source": "builtin:graded-sums", "limit": 18},
        "engine": engine,
        "stages": named,
    }


STAGES = ("rollout", "exits", "endings", "pruning", "pairs", "training", "evaluation")


def here(python: Path | str, spec: dict[str, Any], name: str, folder: Path) -> tuple[dict[str, Any], Path]:
    """Run the same on this machine; return its results and its store."""
    file, store = folder / "run.json", folder / "store"
    run = {"apiVersion": "dto.run/v1alpha1", "kind": "DTORun", "metadata": {"name": name}, "spec": spec}
    file.write_text(json.dumps(run))
    done = subprocess.run(
        [python, "-m", "dto_jobs", "run", file, "--store", store, "--json"],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), store


def without_times(results: Any) -> Any:
    if isinstance(results, dict):
        return {key: without_times(value) for key, value in results.items() if key not in TIMES and value is not None}
    return [without_times(one) for one in results] if isinstance(results, list) else results


def parts_of(held: Any, whole: Any) -> bool:
    """Tell whether all that a status holds is in the results: it has no room for every section and slice."""
    if isinstance(held, dict):
        return all(name == "leftOut" or parts_of(value, whole.get(name)) for name, value in held.items())
    if isinstance(held, list):
        return all(parts_of(one, other) for one, other in zip(held, whole, strict=False))
    return held == whole


@pytest.fixture
def bucket(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> str:
    """The runs' store, as this process reaches it."""
    monkeypatch.setenv("DTO_S3_ENDPOINT", installation.cluster.minio.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    return installation.store


def artifacts(store: str | Path, run: str) -> dict[str, tuple[str, dict[str, int]]]:
    """Return the digest and the counts of each artifact that a run made; each is read and checked to the last byte."""
    opened = open_store(str(store))
    found = {}
    for stage in (*STAGES, "baseline"):
        artifact = latest(opened, run, stage)
        if artifact is not None:
            receipt = artifact.receipt()
            assert receipt is not None
            artifact.verify(receipt)
            found[stage] = receipt.digest, receipt.counts
    return found


@dataclass(frozen=True)
class Scripted:
    """A run of all stages until the pairs, by a scripted engine, that is complete."""

    spec: dict[str, Any]
    run: dict[str, Any]
    operator: OperatorProcess


@pytest.fixture(scope="module")
def scripted(installation: Installation, operator_process: Callable[[], OperatorProcess]) -> Scripted:
    """The run, by an operator that has its own rights only."""
    operator = operator_process()
    shards = {"job": {"shards": 2}}
    spec = spec_of({"scripted": {}}, rollout={"samples": 2, **shards}, exits=shards) | {"until": "pairs"}
    installation.apply("scripted", spec)
    run = installation.wait("scripted")
    # Another test has an operator of its own: two would do the same twice.
    operator.stop()
    return Scripted(spec, run, operator)


def test_a_run_goes_from_apply_to_complete_in_real_pods_with_the_results_of_dto_run(
    installation: Installation, scripted: Scripted, bucket: str, tmp_path: Path
) -> None:
    run = scripted.run
    results, store = here(sys.executable, scripted.spec, "scripted", tmp_path)
    held = run["status"]["results"]
    assert {"rollout", "exits", "pairs", "cost"} <= set(held)
    assert parts_of(without_times(held), without_times(results))
    assert artifacts(bucket, run["metadata"]["uid"]) == artifacts(store, run["metadata"]["name"])
    assert [stage["state"] for stage in run["status"]["stages"]] == ["Succeeded"] * 7
    # Every stage of it ran in pods: two of the sharded ones.
    steps = [pod["metadata"]["labels"]["dto.run/step"] for pod in installation.pods("scripted")]
    assert sorted(steps) == sorted(["preflight", *("rollout", "exits") * 2, "endings", "pruning", "pairs", "results"])


def test_nobody_asked_the_api_server_for_what_it_may_not_have(installation: Installation, scripted: Scripted) -> None:
    audit = installation.cluster.plane.audit
    assert audit is not None
    asked = audit.asked()
    assert [one for one in asked if not one.allowed] == []
    # The pods of stages asked for nothing at all: they have no token.
    assert {one.who for one in asked} == {f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"}
    assert "forbidden" not in scripted.operator.log


@pytest.mark.usefixtures("scripted")
def test_pods_of_stages_hold_no_token(installation: Installation) -> None:
    pods = installation.pods("scripted")
    assert pods
    for pod in pods:
        mounts = [mount["mountPath"] for one in pod["spec"]["containers"] for mount in one.get("volumeMounts", ())]
        assert not [path for path in mounts if path.startswith("/var/run/secrets/kubernetes.io")]


def test_a_secret_given_by_reference_is_written_nowhere(
    installation: Installation, scripted: Scripted, bucket: str
) -> None:
    places = {"the operator's log": scripted.operator.log, "Kubernetes": installation.told("scripted")}
    opened = open_store(bucket)
    for name in opened.names(""):
        content = b"".join(opened.read(name))
        plain = zstandard.ZstdDecompressor().stream_reader(content).read() if name.endswith(".zst") else content
        places[name] = plain.decode(errors="replace")
    assert [name for name in places if name.endswith("receipt.json")]
    assert [name for name, text in places.items() if SECRET in text] == []


@pytest.mark.usefixtures("operator_pod")
def test_a_small_model_is_trained_and_evaluated_by_an_operator_in_a_pod(
    installation: Installation, bucket: str, tmp_path: Path
) -> None:
    if not JOBS.exists():
        missing("cluster", f"{JOBS} is not there, to compare with")
    spec = spec_of(
        {"transformers": {"slots": 256}},
        rollout={"samples": 2, "maxTokens": 300},
        training={"epochs": 1, "saveSteps": 1},
        evaluation={"benchmarks": ["builtin:graded-sums-test"], "limit": 24, "samples": 1, "maxTokens": 300},
    )
    installation.apply("trained", spec)
    run = installation.wait("trained")
    results, store = here(JOBS, spec, "trained", tmp_path)
    held = run["status"]["results"]
    assert {"evaluation", "cost", "gate"} <= set(held)
    assert parts_of(without_times(held), without_times(results))
    assert artifacts(bucket, run["metadata"]["uid"]) == artifacts(store, run["metadata"]["name"])
