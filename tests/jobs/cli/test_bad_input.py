"""What a hostile or hurried person types: each ends with a message, its exit code and no traceback, and loses nothing."""

import errno
import json
import os

import pytest

from dto_jobs.artifacts.attempts import latest
from dto_jobs.artifacts.folder import FolderStore

RUN = """
apiVersion: dto.run/v1alpha1
kind: DTORun
metadata: {name: r}
spec:
  model: {source: builtin:tiny-reasoner}
  problems: {source: "builtin:graded-sums", limit: 9}
  engine: {scripted: {}}
  until: pairs
"""
CONFIG = {"model_type": "qwen2", "hidden_size": 64, "num_attention_heads": 2, "num_hidden_layers": 1, "vocab_size": 8}


@pytest.fixture
def dto(command, tmp_path):
    """The command, with files beside it."""
    (tmp_path / "run.yaml").write_text(RUN)
    return command


def digests(store):
    return {stage: latest(FolderStore(store), "r", stage).receipt().digest for stage in ("rollout", "exits", "pairs")}


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"\xdb\x00\x01", 3, "cannot read"),
        (b"", 2, "holds no DTORun"),
        (b"[1, 2]", 2, "holds no DTORun"),
        (b"a: &a [*a]\n", 2, "by an alias"),
        (b"a: " + b"[" * 20_000, 2, "nested too deep"),
        (b"x: !!python/object/apply:os.system [id]\n", 2, "not valid YAML"),
        (b"---\na: 1\n---\nb: 2\n", 2, "another document"),
        (RUN.encode() + b"  until: exits\n", 2, "'until' is there twice"),
    ],
    ids=["binary", "empty", "a list", "a value in itself", "deep", "code", "two documents", "a key twice"],
)
def test_a_file_that_is_no_run_is_refused(dto, tmp_path, content, code, words):
    (tmp_path / "bad.yaml").write_bytes(content)
    ended, _, err = dto("validate", "bad.yaml")
    assert (ended, words in err) == (code, True), err


def model(folder, **files):
    folder.mkdir()
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_bytes(content)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"config__json": json.dumps(CONFIG).encode()}, "holds no weights"),
        ({"config__json": b"{}", "pytorch_model__bin": b"\x80"}, "holds pickle weights (pytorch_model.bin)"),
        ({"model__safetensors": b"\x00" * 8}, "has no config.json"),
    ],
    ids=["no weights", "pickle", "no configuration"],
)
def test_a_model_folder_that_may_not_be_loaded_is_refused_before_anything_runs(dto, tmp_path, files, words):
    model(tmp_path / "m", **files)
    settings = ("--set", "model.source=file:m", "--set", "engine={transformers: {}}")
    code, _, err = dto("run", "run.yaml", *settings)
    assert (code, words in err) == (3, True), err
    assert not (tmp_path / "store/runs/r/rollout").exists()


@pytest.mark.engines
def test_a_model_without_a_chat_template_is_refused_with_the_remedy(dto, tmp_path):
    import shutil  # noqa: PLC0415 - only here
    from importlib.resources import files  # noqa: PLC0415 - only here

    shutil.copytree(str(files("dto_jobs.demo").joinpath("tiny-reasoner")), tmp_path / "m")
    (tmp_path / "m" / "chat_template.jinja").unlink()
    code, _, err = dto("run", "run.yaml", "--set", "model.source=file:m", "--set", "engine={transformers: {}}")
    assert (code, "spec.model.chatTemplate" in err) == (3, True), err


def test_a_store_that_fills_up_is_said_so_and_the_run_goes_on_once_there_is_space(dto, tmp_path, monkeypatch):
    assert dto("run", "run.yaml", "--store", "whole")[0] == 0
    synced, room = os.fsync, 12

    def full(file):
        nonlocal room
        room -= 1
        if room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        synced(file)

    monkeypatch.setattr(os, "fsync", full)
    code, _, err = dto("run", "run.yaml")
    assert (code, "no space left" in err, "what was committed is kept" in err) == (4, True, True), err
    monkeypatch.setattr(os, "fsync", synced)
    assert (tmp_path / "store/runs/r/rollout/1/receipt.json").exists()
    assert dto("run", "run.yaml")[0] == 0
    assert digests(tmp_path / "store") == digests(tmp_path / "whole")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"problem": "1+1", "answer": "2"}\0', "p.jsonl:1: not JSON"),
        ('{"problem": "1+1", "answer": NaN}', "holds nan"),
        ('{"problem": ["1+1"], "answer": "2"}', "holds a list"),
        ("[" * 20_000, "p.jsonl:1: not JSON"),
    ],
    ids=["a null byte", "not a number", "a list", "deep"],
)
def test_a_row_that_says_nothing_is_named(dto, tmp_path, line, words):
    (tmp_path / "p.jsonl").write_text(line + "\n")
    code, _, err = dto("run", "run.yaml", "--set", "problems={source: p.jsonl}")
    assert (code, words in err) == (3, True), err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("run", "run.yaml", "--set", "metadata.name=../../x"), 2, "metadata.name"),
        (("run", "run.yaml", "--set", "stages"), 2, "write path=value"),
        (("run", "run.yaml", "--from", "nowhere"), 2, "no such stage"),
        (("run", "run.yaml", "--until", "nowhere"), 2, "spec.until"),
        (("run", "run.yaml", "--set", "problems={source: p.jsonl.gz}"), 3, "cannot read"),
        (("run", "run.yaml", "--set", "problems={source: 'https://x.y/z.jsonl'}"), 3, "only files"),
        (("run", "run.yaml", "--set", "problems={source: 'hf://datasets/gsm8k'}"), 3, "org/name"),
        (("runs", "--store", "run.yaml"), 4, "is a file"),
        (("inspect", "../..", "x"), 4, "leads out of the store"),
        (("segment", "."), 3, "cannot read"),
        (("segment", "run.yaml"), 3, "not JSON"),
        (("grade", "null.jsonl"), 3, "'gold' is null"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_command_that_makes_no_sense_says_why(dto, tmp_path, words, code, said):
    (tmp_path / "p.jsonl.gz").write_bytes(b"not packed")
    (tmp_path / "null.jsonl").write_text('{"response": "a", "gold": null}\n')
    ended, _, err = dto(*words)
    assert (ended, said in err) == (code, True), err


def test_a_report_that_cannot_be_written_there_leaves_the_run_alone(dto, tmp_path):
    assert dto("run", "run.yaml")[0] == 0
    before = (tmp_path / "store/runs/r/report.html").read_bytes()
    code, _, err = dto("report", "r", "--output", "gone/report.html")
    assert (code, "cannot write the report to gone/report.html" in err) == (3, True), err
    assert (tmp_path / "store/runs/r/report.html").read_bytes() == before
