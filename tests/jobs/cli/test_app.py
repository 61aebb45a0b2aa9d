"""The command line, as a person meets it: what is printed, how it ends, and what a mistake looks like."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

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


class Ended:
    """How a command ended: exit code, output, errors."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def dto(command):
    """Runs the command in this process, in an empty folder."""
    return lambda *words: Ended(*command(*words))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(RUN)
    return path


def test_a_run_says_what_came_of_it_and_where_the_report_is(dto, file, tmp_path):
    ended = dto("run", file)
    assert ended.code == 0
    for words in ("rollout", "exits", "could have stopped", "rescued", "pairs", "report:"):
        assert words in ended.out
    assert (tmp_path / "store/runs/r/report.html").read_text().startswith("<!doctype html>")


def test_json_is_all_that_is_printed_and_is_the_results_object(dto, file):
    ended = dto("run", file, "--json")
    results = json.loads(ended.out)
    assert results["rollout"]["problems"] == 9
    assert results["cost"]["stages"]["exits"]["flops"] > 0
    assert json.loads(dto("status", "r", "--json").out)["results"] == results


def test_intermediates_go_when_the_run_says_so_and_what_it_found_stays(dto, file, tmp_path):
    file.write_text(RUN + "  artifacts: {policy: DeleteIntermediates}\n")
    first = dto("run", file, "--json")
    kept = {path.name for path in (tmp_path / "store/runs/r").rglob("*") if path.is_file()}
    assert not any(name.startswith("part-") for name in kept)
    assert {"results.json", "report.html", "receipt.json"} <= kept
    again = dto("run", file, "--json")
    assert (again.code, json.loads(again.out)) == (0, json.loads(first.out))
    anew = dto("run", file, "--from", "rollout")
    assert anew.code == 0
    assert "intermediates:" in anew.out


def test_plan_tells_what_is_there(dto, file):
    before = json.loads(dto("plan", file, "--json").out)
    assert [row["cached"] for row in before] == [False] * 5
    dto("run", file)
    after = json.loads(
        dto("plan", file, "--json", "--set", "stages.pairs.minSaving=0.3", "--set", "metadata.name=other").out
    )
    assert {row["stage"]: row["cached"] for row in after} == {
        "rollout": True, "exits": True, "endings": True, "pruning": True, "pairs": False,
    }  # fmt: skip
    assert "there" in dto("plan", file).out


def test_runs_and_status_show_a_run(dto, file):
    assert json.loads(dto("runs", "--json").out) == []
    dto("run", file)
    [row] = json.loads(dto("runs", "--json").out)
    assert (row["name"], row["phase"], row["done"][-1]) == ("r", "Succeeded", "pairs")
    assert "pruning" in dto("status", "r").out


def test_inspect_shows_a_trace_pattern_by_pattern(dto, file):
    dto("run", file)
    [first, *_] = [json.loads(line) for line in dto("inspect", "r", _a_problem(dto), "--json").out.splitlines()]
    shown = dto("inspect", "r", first["ended"]["trace"]["response"]["id"]).out
    assert "First, I go from left to right" in shown
    assert "p=" in shown
    assert "earliest sufficient exit" in shown or "no optimized trajectory" in shown


def _a_problem(dto):
    return dto("inspect", "r", "none").err.partition("for example, ")[2].split(",")[0].strip()


def test_segment_prints_one_line_per_trace(dto, tmp_path):
    path = tmp_path / "traces.jsonl"
    path.write_text(
        '{"id": "a", "response": "First, 2.\\n\\nWait, let me check that again. It is 2 indeed, no doubt."}\n'
    )
    [line] = dto("segment", path, "--json").out.splitlines()
    row = json.loads(line)
    assert row["id"] == "a"
    assert "".join(pattern["text"] for pattern in row["patterns"]).startswith("First, 2.")
    assert "1 traces" in dto("segment", path).out


def test_grade_prints_one_line_per_row_with_columns_as_options(dto, tmp_path):
    path = tmp_path / "answers.jsonl"
    path.write_text(
        '{"n": 1, "said": "\\\\boxed{1/2}", "right": "0.5"}\n{"n": 2, "said": "\\\\boxed{11}", "right": "1"}\n'
    )
    rows = [
        json.loads(line)
        for line in dto("grade", path, "--text", "said", "--gold", "right", "--id", "n", "--json").out.splitlines()
    ]
    assert rows == [{"id": 1, "correct": True, "answer": "1/2"}, {"id": 2, "correct": False, "answer": "11"}]
    assert "1 of 2 right" in dto("grade", path, "--text", "said", "--gold", "right").out


def write(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    return name


PROBLEM = '{"id": "a", "problem": "1+1?", "answer": "2"}\n'

MISTAKES = [
    pytest.param(
        {"stages": {"exits": {"treshold": 1}}}, {}, 2, ["spec.stages.exits.treshold", "`threshold`"], id="unknown field"
    ),
    pytest.param({"seed": "x"}, {}, 2, ["spec.seed", "'x'"], id="wrong type"),
    pytest.param(
        {"stages": {"exits": {"threshold": 2}}}, {}, 2, ["spec.stages.exits.threshold", "2"], id="out of range"
    ),
    pytest.param({"problems": {"source": "gone.jsonl"}}, {}, 3, ["gone.jsonl"], id="missing file"),
    pytest.param(
        {"problems": {"source": "p.jsonl"}}, {"p.jsonl": PROBLEM + "{broken\n"}, 3, ["p.jsonl", "2"], id="broken line"
    ),
    pytest.param({"problems": {"source": "p.jsonl"}}, {"p.jsonl": ""}, 3, ["p.jsonl"], id="empty set"),
    pytest.param(
        {"problems": {"source": "p.jsonl"}}, {"p.jsonl": '{"problem": "1+1?"}\n'}, 3, ["answer"], id="no answer"
    ),
    pytest.param({"problems": {"source": "p.jsonl"}}, {"p.jsonl": PROBLEM * 2}, 3, ["'a'", "2"], id="duplicate ids"),
    pytest.param({"problems": {"source": "builtin:none"}}, {}, 3, ["builtin:none"], id="unknown built-in"),
    pytest.param(
        {"stages": {"pruning": {"judge": {"model": "m"}}}}, {}, 3, ["spec.stages.pruning.judge"], id="no judge yet"
    ),
    pytest.param({"until": None}, {}, 3, ["benchmark"], id="unknown benchmark folder"),
    pytest.param({"until": "training"}, {}, 3, ["scripted", "train"], id="nothing to train"),
]


@pytest.mark.parametrize(("spec", "files", "code", "words"), MISTAKES)
def test_a_mistake_ends_with_its_code_and_says_where_and_what(dto, tmp_path, spec, files, code, words):
    import yaml  # noqa: PLC0415 - only here

    content = yaml.safe_load(RUN)
    content["spec"].update(spec)
    for name, text in files.items():
        write(tmp_path, name, text)
    write(tmp_path, "run.yaml", yaml.safe_dump(content))
    ended = dto("run", "run.yaml")
    assert ended.code == code, ended.err
    for word in words:
        assert word in ended.err


def test_a_read_only_store_is_a_clear_error(dto, file, tmp_path):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the store's folder should be")
    ended = dto("run", file, "--store", blocked)
    assert ended.code == 4
    assert str(blocked) in ended.err


def test_a_run_file_changed_under_its_run_is_refused_and_nothing_is_lost(dto, file, tmp_path):
    dto("run", file)
    results = (tmp_path / "store/runs/r/results.json").read_bytes()
    ended = dto("run", file, "--set", "stages.exits.threshold=0.75")
    assert ended.code == 5
    assert "spec.stages.exits.threshold was 0.5, is 0.75" in ended.err
    assert (tmp_path / "store/runs/r/results.json").read_bytes() == results


def test_problems_changed_under_their_run_are_refused(dto, file, tmp_path):
    problems = tmp_path / "p.jsonl"
    problems.write_text('{"id": "a", "problem": "Compute 1+1.", "answer": "2"}\n')
    source = ("--set", "problems={source: p.jsonl}")
    assert dto("run", file, *source).code == 0
    problems.write_text('{"id": "a", "problem": "Compute 1+2.", "answer": "3"}\n')
    ended = dto("run", file, *source)
    assert ended.code == 5
    assert "content.problems was" in ended.err


def test_slots_may_change_under_the_same_name_to_get_a_run_through(dto, file):
    dto("run", file)
    assert dto("run", file, "--set", "engine.scripted.delaySeconds=0.001").code == 0


def test_until_may_move_on_under_the_same_name(dto, file):
    assert dto("run", file, "--until", "exits").code == 0
    assert dto("run", file, "--until", "pairs").code == 0


@pytest.mark.parametrize("words", [("status", "none"), ("report", "none"), ("inspect", "none", "p")])
def test_a_run_that_is_not_there_is_said_so(dto, words):
    ended = dto(*words)
    assert ended.code == 3
    assert "none" in ended.err


def started(file: Path, store: Path, delay: float):
    words = [
        sys.executable,
        "-m",
        "dto_jobs",
        "run",
        file,
        "--store",
        store,
        "--set",
        f"engine.scripted.delaySeconds={delay}",
    ]
    return subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )


def wait_for(process, words):
    for line in process.stdout:
        if words in line:
            return
    raise AssertionError(process.stderr.read())


def test_a_second_process_on_the_same_run_is_told(dto, file, tmp_path):
    process = started(file, tmp_path / "store", 0.05)
    try:
        wait_for(process, "rollout")
        ended = dto("run", file, "--store", tmp_path / "store", "--set", "engine.scripted.delaySeconds=0.05")
        assert ended.code == 5
        assert str(process.pid) in ended.err
    finally:
        process.kill()
        process.communicate()


def test_the_first_ctrl_c_commits_the_part_at_work_and_the_second_stops_at_once(file, tmp_path):
    # So slow that even a busy machine sends both signals while the first completion is awaited.
    process = started(file, tmp_path / "store", 30)
    wait_for(process, "rollout")
    process.send_signal(signal.SIGINT)
    assert "finishing the part at work" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "goes on from there" in err


def test_one_ctrl_c_ends_in_good_order(dto, file, tmp_path):
    process = started(file, tmp_path / "store", 0.01)
    wait_for(process, "rollout")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "goes on from there" in err
    assert dto("run", file, "--store", tmp_path / "store", "--set", "engine.scripted.delaySeconds=0").code == 0
