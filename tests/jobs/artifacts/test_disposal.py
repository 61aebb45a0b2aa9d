"""What `dto discard` takes away and what it leaves, in a folder and in a bucket of a real MinIO."""

import json

import pytest

from dto_jobs.artifacts.addresses import open_store
from dto_jobs.artifacts.artifact import Artifact, Receipt
from dto_jobs.artifacts.attempts import Attempts
from dto_jobs.artifacts.disposal import Belongings
from dto_jobs.core.cost import Spend
from dto_jobs.core.records import Problem
from dto_jobs.errors import StoreError
from dto_jobs.plan import PlannedStage
from dto_jobs.stages.rollout import Rollout


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.services)])
def store(request, tmp_path):
    if request.param == "folder":
        return open_store(str(tmp_path / "store"))
    return open_store(f"s3://{request.getfixturevalue('s3_keys').bucket()}/some/prefix")


def step(stage, key):
    return PlannedStage(stage, Rollout(), "problems", None, key)


def made(store, run, stage, key, *, whole=True):
    """Make an artifact as a run does."""
    attempts = Attempts(store, run)
    artifact = attempts.begun(step(stage, key))
    part = artifact.write_part(0, [Problem(id="p", question="1 + 1?", answer="2")], 1, Spend(), {})
    if whole:
        attempts.finish(artifact, Receipt(stage=stage, key=key, code="c", blobs=(part.blob,), records=1))
        attempts.note(stage, artifact)
    return artifact


def begun(store, run, *sources):
    named = {f"source{number}": key for number, key in enumerate(sources)}
    store.write(f"runs/{run}/run.json", [json.dumps({"spec": {}, "sources": named}).encode()])
    for key in sources:
        store.write(f"sources/{key}/receipt.json", [b"{}"])


def finished(store, run):
    for name in ("plan.json", "results.json", "run.yaml", "report.html", "audits/judges.json"):
        store.write(f"runs/{run}/{name}", [b"{}"])


def test_a_run_that_is_discarded_leaves_nothing(store):
    begun(store, "a", "k1")
    made(store, "a", "rollout", "r1")
    made(store, "a", "exits", "e1", whole=False)
    finished(store, "a")
    sizes = store.sizes("")
    done = Belongings(store, "a").discard()
    assert store.names("") == []
    assert (done.objects, done.bytes, done.kept) == (len(sizes), sum(sizes.values()), [])
    assert Belongings(store, "a").discard().objects == 0


def test_what_another_run_points_to_or_reads_stays(store):
    begun(store, "a", "k1", "k2")
    begun(store, "ab", "k2")
    used, unused = made(store, "a", "rollout", "r1"), made(store, "a", "exits", "e1")
    Attempts(store, "ab").note("rollout", used)
    others = made(store, "ab", "exits", "e2")
    done = Belongings(store, "a").discard()
    assert done.kept == [used.base]
    assert Attempts(store, "ab").whole(step("rollout", "r1")) is not None
    assert Attempts(store, "c").whole(step("rollout", "r1")) is not None, "the cache still names it"
    assert Attempts(store, "c").whole(step("exits", "e1")) is None
    assert unused.receipt() is None
    assert others.receipt() is not None
    assert store.names("sources/") == ["sources/k2/receipt.json"]
    left = [name for name in store.names("runs/a/") if not name.startswith(f"{used.base}/")]
    assert left == []


def test_the_last_who_used_an_artifact_of_a_run_that_is_gone_takes_it_along(store):
    begun(store, "a")
    begun(store, "b")
    Attempts(store, "b").note("rollout", made(store, "a", "rollout", "r1"))
    Belongings(store, "a").discard()
    Belongings(store, "b").discard()
    assert store.names("") == []


def test_an_artifact_of_a_run_that_is_there_is_not_taken_along(store):
    begun(store, "a")
    begun(store, "b")
    artifact = made(store, "a", "rollout", "r1")
    Attempts(store, "b").note("rollout", artifact)
    there = store.names(artifact.base)
    Belongings(store, "b").discard()
    assert store.names(artifact.base) == there != []
    assert [one.id for one in artifact.records(Problem)] == ["p"]


def test_an_entry_that_names_anothers_artifact_stays(store):
    begun(store, "a")
    made(store, "a", "rollout", "r1")
    other = made(store, "b", "rollout", "r1")
    Belongings(store, "a").discard()
    assert json.loads(b"".join(store.read("cache/r1.json"))) == {"base": other.base}


@pytest.mark.parametrize("key", ["", ".", "..", "../..", "k1/..", "../runs/b", 7, None])
def test_a_source_that_is_no_sources_name_takes_nothing_along(store, key):
    begun(store, "b", "k1")
    made(store, "b", "rollout", "r1")
    there = store.names("")
    store.write("runs/a/run.json", [json.dumps({"spec": {}, "sources": {"problems": key}}).encode()])
    Belongings(store, "a").discard()
    assert store.names("") == there


@pytest.mark.parametrize("base", ["runs/../outside/1", "runs/b", "runs/b/rollout/..", "runs/b/rollout/1/..", "", 7])
def test_a_note_that_names_no_artifact_takes_nothing_along(store, base):
    begun(store, "b")
    made(store, "b", "rollout", "r1")
    there = store.names("")
    begun(store, "a")
    store.write("runs/a/rollout.json", [json.dumps({"base": base}).encode()])
    Belongings(store, "a").discard()
    assert store.names("") == there


def test_an_attempt_whose_key_leads_elsewhere_is_removed_and_nothing_else(store):
    begun(store, "b")
    made(store, "b", "rollout", "r1")
    there = store.names("")
    begun(store, "a")
    mine = made(store, "a", "exits", "e1")
    store.write(f"{mine.base}/receipt.json", [json.dumps({"key": "../runs/b/rollout"}).encode()])
    store.write(f"{mine.base}/attempt.json", [json.dumps({"key": "../../.."}).encode()])
    store.delete("cache/e1.json")
    Belongings(store, "a").discard()
    assert store.names("") == there


class KilledError(Exception):
    """The process was killed."""


class Dying:
    """A store whose process is killed at its n-th removal."""

    def __init__(self, store, left):
        self._store, self._left = store, left

    def __getattr__(self, name):
        return getattr(self._store, name)

    def delete(self, prefix):
        self._left -= 1
        if self._left < 0:
            raise KilledError
        self._store.delete(prefix)


@pytest.mark.parametrize("survived", range(12))
def test_one_that_is_killed_anywhere_is_finished_by_the_next(tmp_path, survived):
    store = open_store(tmp_path)
    begun(store, "a", "k1")
    begun(store, "b", "k2")
    mine, foreign = made(store, "a", "rollout", "r1"), made(store, "b", "exits", "e1")
    Attempts(store, "b").note("rollout", mine)
    made(store, "a", "exits", "e2")
    finished(store, "a")
    try:
        Belongings(Dying(store, survived), "a").discard()
    except KilledError:
        pass
    else:
        assert survived > 5
    Belongings(store, "a").discard()
    left = [name for name in store.names("") if not name.startswith((f"{mine.base}/", "runs/b/", "cache/"))]
    assert left == ["sources/k2/receipt.json"]
    foreign.verify(foreign.receipt())
    mine.verify(mine.receipt())


def test_intermediates_go_and_model_results_report_and_receipts_stay(store):
    begun(store, "a", "k1")
    rollout, model = made(store, "a", "rollout", "r1"), made(store, "a", "training", "t1")
    store.write(f"{model.base}/checkpoints/5/receipt.json", [b"{}"])
    stopped = made(store, "a", "exits", "e0", whole=False)
    exits = made(store, "a", "exits", "e1")
    assert stopped.base != exits.base
    finished(store, "a")
    receipt = rollout.receipt()
    done = Belongings(store, "a").discard_intermediates()
    assert done.bytes > 0
    assert rollout.receipt() == receipt
    with pytest.raises(StoreError, match="DeleteIntermediates"):
        list(rollout.records(Problem))
    assert store.names(f"{stopped.base}/") == []
    model.verify(model.receipt())
    assert store.names(f"{model.base}/checkpoints/") == []
    assert store.exists("runs/a/report.html")
    assert Attempts(store, "b").whole(step("training", "t1")) is not None
    for attempts in (Attempts(store, "a"), Attempts(store, "b")):
        assert attempts.whole(step("rollout", "r1")) is None
        assert not attempts.is_known(step("rollout", "r1"))
    assert Attempts(store, "a").next(step("rollout", "r1")).base != rollout.base
    again = Belongings(store, "a").discard_intermediates()
    assert again.objects == 0
    Belongings(store, "a").discard()
    assert store.names("") == []


def test_intermediates_that_another_run_uses_stay(store):
    begun(store, "a")
    begun(store, "b")
    rollout = made(store, "a", "rollout", "r1")
    Attempts(store, "b").note("rollout", rollout)
    assert Belongings(store, "a").discard_intermediates().kept == [rollout.base]
    assert [one.id for one in Artifact(store, rollout.base).records(Problem)] == ["p"]
