"""Problems and logged traces in a bucket of a real MinIO."""

import gzip
import json

import pytest
import zstandard

from dto_jobs.artifacts.addresses import open_store
from dto_jobs.artifacts.imported_traces import read_traces
from dto_jobs.artifacts.problem_sets import read_problems
from dto_jobs.errors import InputError
from dto_jobs.problem_source import ProblemSource, TraceSource

pytestmark = pytest.mark.services

LINES = "".join(json.dumps({"problem": f"{n} + 1?", "answer": str(n + 1)}) + "\n" for n in range(5000)).encode()
PACKED = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}


@pytest.fixture
def bucket(s3_keys):
    return s3_keys.bucket()


@pytest.mark.parametrize("ending", PACKED)
def test_problems_are_read_from_a_bucket_as_from_a_file(bucket, tmp_path, ending):
    name = f"sets/problems.jsonl{ending}"
    packed = PACKED[ending](LINES)
    open_store(f"s3://{bucket}").write(name, [packed])
    (tmp_path / "sets").mkdir()
    (tmp_path / name).write_bytes(packed)
    remote, local = (
        list(read_problems(ProblemSource(source=source), tmp_path)) for source in (f"s3://{bucket}/{name}", name)
    )
    assert remote == local
    assert len(remote) == 5000


def test_traces_are_read_from_a_bucket(bucket, tmp_path):
    row = json.dumps({"problem": "1 + 1?", "gold": "2", "response": "It is 2."}).encode()
    open_store(f"s3://{bucket}").write("traces.jsonl", [row])
    (trace,) = read_traces(TraceSource(source=f"s3://{bucket}/traces.jsonl"), tmp_path)
    assert trace.text == "It is 2."


def test_an_error_names_the_object_and_the_line(bucket, tmp_path):
    open_store(f"s3://{bucket}").write("sets/p.jsonl", [LINES, b"not json"])
    with pytest.raises(InputError, match=f"s3://{bucket}/sets/p.jsonl:5001: not JSON"):
        list(read_problems(ProblemSource(source=f"s3://{bucket}/sets/p.jsonl"), tmp_path))


def test_a_missing_object_has_near_names(bucket, tmp_path):
    open_store(f"s3://{bucket}").write("sets/problems.jsonl", [LINES])
    with pytest.raises(InputError, match=r"did you mean sets/problems\.jsonl\?"):
        list(read_problems(ProblemSource(source=f"s3://{bucket}/sets/problem.jsonl"), tmp_path))


def test_the_run_file_s_endpoint_goes_before_the_environment_s(s3_keys, bucket, tmp_path, monkeypatch):
    open_store(f"s3://{bucket}").write("p.jsonl", [LINES])
    monkeypatch.setenv("DTO_S3_ENDPOINT", "http://127.0.0.1:9")
    problems = read_problems(ProblemSource(source=f"s3://{bucket}/p.jsonl"), tmp_path, endpoint=s3_keys.endpoint)
    assert next(problems).question.startswith("0 + 1?")
