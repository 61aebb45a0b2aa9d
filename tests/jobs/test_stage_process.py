"""A stage as a process: shards, restarts, stopping, last words. The scripted engine answers; the rest is real."""

import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from stage_runs import NOWHERE, STAGES, StageProcess, planned, receipts, run_file

from dto_jobs import stage_process
from dto_jobs.artifacts.addresses import open_store
from dto_jobs.artifacts.artifact import Artifact
from dto_jobs.cli.progress import CalmProgress
from dto_jobs.cli.running import run_file as run_here
from dto_jobs.errors import InputError, InterruptedRunError, StoreError
from dto_jobs.metrics import STAGE_METRICS
from dto_jobs.plan import Shard, shard
from dto_jobs.plan_file import Plan
from dto_jobs.preflight import check_rights
from dto_jobs.termination import LIMIT

SILENT = CalmProgress(lambda _: None)
PLAN = "store:runs/r/plan.json"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run made in one process: what every other way of making it must come to."""
    folder = tmp_path_factory.mktemp("whole")
    file, store = run_file(folder), folder / "store"
    run_here(file, store, [], None, lambda: False, NOWHERE)
    return receipts(planned(file, store), store)


def make(plan, store, name, index=0, count=1, stopping=lambda: False):
    process = stage_process.StageProcess(
        plan, name, Shard(index, count), open_store(str(store)), Path(store) / "scratch"
    )
    return process.run(SILENT, stopping)


@pytest.mark.parametrize("continuous", [False, True], ids=["part by part", "continuous"])
@pytest.mark.parametrize("shards", [2, 7])
def test_the_artifacts_are_the_same_for_any_number_of_shards(whole, tmp_path, shards, continuous):
    store = tmp_path / "store"
    plan = planned(run_file(tmp_path, continuous=continuous), store)
    for name in STAGES:
        made = [make(plan, store, name, index, shards) for index in reversed(range(shards))]
        assert sum(receipt is not None for receipt in made) >= 1
    assert receipts(plan, store) == whole


def test_the_number_of_shards_may_change_between_attempts(whole, tmp_path):
    store = tmp_path / "store"
    plan = planned(run_file(tmp_path), store)
    assert make(plan, store, "rollout", 0, 3) is None
    assert make(plan, store, "rollout", 1, 2) is None
    assert make(plan, store, "rollout", 0, 1) is not None
    assert receipts(plan, store)["rollout"] == whole["rollout"]


def test_a_receipt_is_collected_without_an_engine(whole, tmp_path):
    store = tmp_path / "store"
    plan = planned(run_file(tmp_path), store)
    process = stage_process.StageProcess(plan, "rollout", Shard(), open_store(str(store)), store / "scratch")
    assert process.collect(SILENT) is None, "nothing is made yet"
    make(plan, store, "rollout")
    (store / plan.place("rollout") / "receipt.json").unlink()
    assert process.collect(SILENT) is not None
    assert receipts(plan, store)["rollout"] == whole["rollout"]


@pytest.mark.parametrize("outputs", [1, 50, 127, 128, 200, 299])
def test_what_a_continuous_engine_had_finished_of_a_part_is_not_made_again(whole, tmp_path, outputs):
    store = tmp_path / "store"
    plan = planned(run_file(tmp_path, continuous=True), store)

    class Interrupting(CalmProgress):
        """Interrupts after so many inputs, as the end of the grace period does."""

        def advanced(self, _stage, done, _spend):
            if done == outputs:
                raise InterruptedRunError("time is over")

    process = stage_process.StageProcess(plan, "rollout", Shard(), open_store(str(store)), store / "scratch")
    with pytest.raises(InterruptedRunError):
        process.run(Interrupting(lambda _: None), lambda: False)
    started = []

    class Listening(CalmProgress):
        """Hears what is left."""

        def advanced(self, _stage, done, _spend):
            started.append(done)

    process.run(Listening(lambda _: None), lambda: False)
    assert started[0] == outputs + 1 or outputs == 128, "goes on with the next input"
    assert started[-1] == 300
    assert receipts(plan, store)["rollout"] == whole["rollout"]


def test_a_stage_that_is_stopped_at_once_goes_on_in_a_process(whole, tmp_path):
    store = tmp_path / "store"
    planned(run_file(tmp_path, continuous=True, delay_seconds=0.02), store)
    slow = StageProcess(
        tmp_path, store, "stage", "rollout", "--plan", PLAN, DTO_GRACE_SECONDS="0.5", DTO_METRICS_PORT="0"
    )
    wait_until(slow, lambda state: state["done"] > 5)
    slow.process.send_signal(signal.SIGTERM)
    code, _ = slow.ended()
    words = slow.words()
    assert (code, words.state, words.exit_code, words.retry) == (75, "stopped", 75, "infrastructure")
    assert 5 < words.inputs_done < 300
    plan = planned(run_file(tmp_path, continuous=True), store)
    again = StageProcess(tmp_path, store, "stage", "rollout", "--plan", PLAN, "--attempt", "2")
    code, output = again.ended()
    assert code == 0, output
    assert f"{words.inputs_done} of 300 done before" in output or "started" in output
    assert (again.words().state, again.words().attempt, again.words().receipt.records) == ("done", 2, 600)
    assert again.words().figures["generated"] < whole["rollout"][2].generated, "what was finished is not paid for again"
    assert receipts(plan, store)["rollout"] == whole["rollout"]


def test_a_part_at_work_is_committed_before_a_stage_stops(whole, tmp_path):
    store = tmp_path / "store"
    planned(run_file(tmp_path, delay_seconds=0.01), store)
    slow = StageProcess(
        tmp_path, store, "stage", "rollout", "--plan", PLAN, DTO_GRACE_SECONDS="300", DTO_METRICS_PORT="0"
    )
    wait_until(slow, lambda state: state["done"] > 3)
    slow.process.send_signal(signal.SIGTERM)
    assert slow.ended()[0] == 75
    plan = planned(run_file(tmp_path), store)
    assert list(Artifact(open_store(str(store)), plan.place("rollout")).committed()) == [0]
    make(plan, store, "rollout")
    assert receipts(plan, store)["rollout"] == whole["rollout"]


def address(process):
    """Return where a stage answers; it says so before it begins."""
    assert process.process.stdout is not None
    for line in process.process.stdout:
        if found := re.search(r"on port (\d+)", line):
            return f"http://127.0.0.1:{found[1]}"
    raise AssertionError(f"ended with {process.process.wait()}")


def get(url):
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read().decode()


def wait_until(process, true):
    """Ask how far a stage is until that is as wanted."""
    url = address(process)
    while process.process.poll() is None:
        if true(json.loads(get(f"{url}/healthz"))):
            return url
    raise AssertionError("ended before that")


def test_metrics_are_shown_while_it_works_and_figures_at_the_end(tmp_path):
    store = tmp_path / "store"
    planned(run_file(tmp_path, delay_seconds=0.005), store)
    process = StageProcess(tmp_path, store, "stage", "rollout", "--plan", PLAN, DTO_METRICS_PORT="0", DTO_SHARDS="2")
    url = wait_until(process, lambda state: state["done"] > 10 and state["inputs"] == 172)
    families = {family.name: family for family in text_string_to_metric_families(get(f"{url}/metrics"))}
    known = {metric.name.removesuffix("_total"): metric for metric in STAGE_METRICS}
    assert set(families) <= set(known), "nothing is shown that is not documented"
    [info] = families["dto_stage_info"].samples
    assert info.labels == {"run": "r", "stage": "rollout", "attempt": "1", "shard": "0/2"}
    tokens = {sample.labels["kind"]: sample.value for sample in families["dto_tokens"].samples}
    assert tokens["generated"] > 10
    assert families["dto_flops"].samples[0].value > 0
    with pytest.raises(urllib.error.HTTPError):
        get(f"{url}/else")
    code, _ = process.ended()
    words = process.words()
    assert (code, words.shard, words.receipt, words.inputs_done, words.inputs) == (0, "0/2", None, 172, 172)
    assert words.figures["generated"] > tokens["generated"]
    assert words.figures["denseFlops"] > words.figures["attentionFlops"] > 0


def test_mistakes_have_their_own_ends(tmp_path):
    store = tmp_path / "store"
    plan = planned(run_file(tmp_path), store)
    (tmp_path / "old.json").write_text(plan.to_json().replace(plan.steps[0].key, "0" * 64))
    (tmp_path / "locked").write_text("a file, and no folder")
    cases = {
        "no stage": (("stage", "sleep", "--plan", PLAN), store, 3, "the plan has no stage 'sleep'"),
        "too early": (("stage", "exits", "--plan", PLAN), store, 3, "exits needs rollout, which is not finished"),
        "no plan": (("stage", "exits", "--plan", "store:runs/x/plan.json"), store, 3, "dto preflight makes it"),
        "none named": (("stage", "exits"), store, 3, "--plan FILE or $DTO_PLAN"),
        "other version": (("stage", "rollout", "--plan", str(tmp_path / "old.json")), store, 3, "this version of dto"),
        "no such shard": (("stage", "rollout", "--plan", PLAN, "--shard", "2/2"), store, 3, "there is no shard 2 of 2"),
        "no shard": (("stage", "rollout", "--plan", PLAN, "--shard", "two"), store, 3, "is no shard"),
        "no store": (("preflight", str(tmp_path / "r.yaml")), tmp_path / "locked", 4, "is a file: name a folder"),
        "parts missing": (("collect", "rollout", "--plan", PLAN), store, 3, "rollout is not whole"),
        "stages missing": (("collect", "--plan", PLAN), store, 3, "rollout is not finished"),
    }
    running = {name: StageProcess(tmp_path, where, *words) for name, (words, where, _, _) in cases.items()}
    for name, (_, _, code, said) in cases.items():
        ended, output = running[name].ended()
        assert (name, ended) == (name, code), output
        assert said in output
        if "shard" not in name:
            assert (running[name].words().exit_code, running[name].words().state) == (code, "failed")
            assert said in running[name].words().message


def test_no_secret_is_in_what_a_stage_says_or_leaves(tmp_path):
    secret = "hunter2-and-more"
    store = tmp_path / f"store-{secret}"
    planned(run_file(tmp_path), store)
    environment = {"AWS_SECRET_ACCESS_KEY": secret, "HF_TOKEN": "hf_made_up_token"}
    fine = StageProcess(tmp_path, store, "stage", "rollout", "--plan", PLAN, **environment)
    assert fine.ended()[0] == 0
    (store / "runs/r/plan.json").write_text("{}")
    broken = StageProcess(tmp_path, store, "stage", "exits", "--plan", PLAN, **environment)
    code, output = broken.ended()
    assert code == 3
    assert "[redacted]" in output
    left = [path.read_bytes() for path in store.rglob("*") if path.is_file()]
    for text in (output, fine.log.read_text(), broken.log.read_text(), *left):
        assert secret.encode() not in (text if isinstance(text, bytes) else text.encode())
    assert len(broken.log.read_bytes()) <= LIMIT


def test_a_preflight_says_what_there_is_to_do(tmp_path):
    store, file = tmp_path / "store", run_file(tmp_path)
    first = StageProcess(
        tmp_path, store, "preflight", str(file), "-o", str(tmp_path / "plan.json"), DTO_RUN_UID="ab-12"
    )
    assert first.ended()[0] == 0
    words = first.words()
    assert (words.run, words.plan) == ("ab-12", "store:runs/ab-12/plan.json")
    assert {step.name: step.reused for step in words.steps} == dict.fromkeys(STAGES, False)
    plan = Plan.parse((tmp_path / "plan.json").read_text(), "plan.json")
    assert all(step.artifact == f"runs/ab-12/{step.name}/1" for step in plan.steps)
    make(plan, store, "rollout")
    again = planned(file, store)
    assert [step.reused for step in again.steps] == [True, False, False, False, False]
    assert again.place("rollout") == "runs/ab-12/rollout/1", "another run of the same settings takes it from there"


def test_a_preflight_says_of_which_stage_the_artifact_is_damaged(tmp_path):
    store, file = tmp_path / "store", run_file(tmp_path)
    first = planned(file, store)
    for name in STAGES[:2]:
        make(first, store, name)
    (part,) = (store / first.place("exits")).glob("part-00000-*.jsonl.zst")
    part.write_bytes(part.read_bytes()[:-5])
    again = StageProcess(tmp_path, store, "preflight", str(file))
    assert again.ended()[0] == 0
    told = {step.name: (step.reused, step.damaged) for step in again.words().steps}
    assert told["rollout"] == (True, None)
    assert told["exits"] == (False, True)
    assert told["endings"] == (False, None)


def test_the_run_as_a_whole_is_concluded_from_the_store(tmp_path):
    store, file = tmp_path / "store", run_file(tmp_path, limit=30)
    plan = planned(file, store)
    for name in STAGES:
        make(plan, store, name)
    process = StageProcess(tmp_path, store, "collect", "--plan", PLAN, "--json")
    code, output = process.ended()
    assert code == 0, output
    assert process.words().results["rollout"]["problems"] == 30
    assert (store / "runs/r/report.html").exists()


def test_a_stage_starts_without_what_it_may_not_need():
    heavy = "{'torch', 'transformers', 'trl', 'vllm', 'sympy', 'numpy', 'jinja2', 'minio', 'openai'}"
    code = f"import dto_jobs.cli.staging, sys; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_rights_are_checked_before_anything_is_computed(tmp_path):
    check_rights(open_store(str(tmp_path / "store")), "runs/r")
    assert [path for path in (tmp_path / "store").rglob("*") if path.is_file()] == []
    (tmp_path / "file").touch()
    with pytest.raises(StoreError):
        check_rights(open_store(str(tmp_path / "file")), "runs/r")


@pytest.mark.parametrize(("text", "index", "count"), [("0/1", 0, 1), ("3/8", 3, 8)])
def test_a_shard_is_named_by_index_and_count(text, index, count):
    assert shard(text) == Shard(index, count)
    assert str(shard(text)) == text


@pytest.mark.parametrize("text", ["1", "1/1", "-1/2", "a/b", "0/0", ""])
def test_what_names_no_shard_is_refused(text):
    with pytest.raises(InputError, match="shard"):
        shard(text)
