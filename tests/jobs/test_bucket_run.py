"""A whole run whose artifacts are in a bucket of a real MinIO: the same artifacts as in a folder, to the byte."""

import json
import subprocess
import sys

import pytest

from dto_jobs.artifacts.addresses import open_store
from dto_jobs.artifacts.attempts import latest
from dto_jobs.core.records import PrunedTrace

pytestmark = pytest.mark.services

STAGES = ("rollout", "exits", "endings", "pruning", "pairs")


def run_yaml(folder, **artifacts):
    spec = {
        "model": {"source": "builtin:tiny-reasoner"},
        "problems": {"source": "builtin:graded-sums", "limit": 150},
        "engine": {"scripted": {}},
        "artifacts": artifacts,
        "stages": {"rollout": {"samples": 2}},
        "until": "pairs",
    }
    path = folder / "run.yaml"
    path.write_text(
        json.dumps({"apiVersion": "dto.run/v1alpha1", "kind": "DTORun", "metadata": {"name": "r"}, "spec": spec})
    )
    return path


def dto(*words):
    done = subprocess.run(
        [sys.executable, "-m", "dto_jobs", *map(str, words)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def digests(address):
    return {stage: latest(open_store(address), "r", stage).receipt().digest for stage in STAGES}


def test_a_run_in_a_bucket_makes_the_same_artifacts_as_in_a_folder(s3_keys, tmp_path):
    file, bucket = run_yaml(tmp_path), f"s3://{s3_keys.bucket()}/some/prefix"
    dto("run", file, "--store", tmp_path / "store")
    said = dto("run", file, "--store", bucket)
    assert f"report: {bucket}/runs/r/report.html" in said
    assert digests(bucket) == digests(tmp_path / "store")
    assert b"<html" in b"".join(open_store(bucket).read("runs/r/report.html"))

    # Every other command takes the bucket, too.
    assert json.loads(dto("runs", "--store", bucket, "--json"))[0]["name"] == "r"
    state = json.loads(dto("status", "r", "--store", bucket, "--json"))
    assert state["stages"][0]["artifact"]["uri"].startswith(f"{bucket}/runs/r/rollout/")
    assert all(row["cached"] for row in json.loads(dto("plan", file, "--store", bucket, "--json")))
    assert f"{bucket}/runs/r/report.html" in dto("report", "r", "--store", bucket)
    record = next(latest(open_store(bucket), "r", "pruning").records(PrunedTrace))
    problem = record.ended.trace.response.problem.id
    assert json.loads(dto("inspect", "r", problem, "--store", bucket, "--json").splitlines()[0])


def test_the_run_file_s_bucket_is_used_where_no_store_is_named(s3_keys, tmp_path, monkeypatch):
    monkeypatch.delenv("DTO_S3_ENDPOINT")
    name = s3_keys.bucket()
    file = run_yaml(tmp_path, bucket=name, prefix="own", endpoint=s3_keys.endpoint)
    assert f"artifacts in s3://{name}/own" in dto("run", file, "--until", "rollout", "--shards", "0")
    monkeypatch.setenv("DTO_S3_ENDPOINT", s3_keys.endpoint)
    assert open_store(f"s3://{name}/own").exists("runs/r/rollout.json")


def test_nothing_in_the_bucket_tells_the_keys(s3_keys, tmp_path):
    name = s3_keys.bucket()
    file = run_yaml(tmp_path, bucket=name, endpoint=s3_keys.endpoint)
    dto("run", file, "--until", "rollout", "--shards", "0")
    store = open_store(f"s3://{name}")
    for kept in store.names(""):
        assert b"tester-secret" not in b"".join(store.read(kept))
