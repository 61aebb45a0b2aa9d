"""What every store promises, shown on each: a folder, and a bucket of a real MinIO."""

import hashlib
import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from dto_jobs.artifacts.addresses import open_store
from dto_jobs.artifacts.artifact import Artifact, Receipt
from dto_jobs.core.cost import Spend
from dto_jobs.core.records import Problem
from dto_jobs.errors import RunConflictError, StoreError

WRITERS = 16
BIG = 40 << 20
"""More than two steps of an upload."""


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.services)])
def address(request, tmp_path):
    if request.param == "folder":
        return str(tmp_path / "store")
    return f"s3://{request.getfixturevalue('s3_keys').bucket()}/some/prefix"


@pytest.fixture
def store(address):
    return open_store(address)


def content(store, name):
    return b"".join(store.read(name))


def test_what_is_written_is_read(store):
    store.write("a/b", [b"one ", b"two"])
    assert content(store, "a/b") == b"one two"


def test_an_object_may_be_empty(store):
    store.write("empty", [])
    assert content(store, "empty") == b""
    assert store.exists("empty")


def test_what_is_long_comes_back_the_same(store):
    chunks = [random.Random(n).randbytes(1 << 20) for n in range(BIG >> 20)]
    store.write("big", [*chunks, b"end"])
    digest = hashlib.sha256()
    for chunk in store.read("big"):
        digest.update(chunk)
    assert digest.hexdigest() == hashlib.sha256(b"".join([*chunks, b"end"])).hexdigest()


def test_writing_again_replaces(store):
    store.write("a", [b"old"])
    store.write("a", [b"new"])
    assert content(store, "a") == b"new"


@pytest.mark.parametrize("size", [10, BIG], ids=["short", "long"])
def test_a_write_that_fails_midway_leaves_the_old_object(store, size):
    store.write("a", [b"old"])

    def breaking():
        for _ in range(10):
            yield bytes(size // 10)
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - the very error of the source
        store.write("a", breaking())
    assert content(store, "a") == b"old"
    assert store.names("") == ["a"]


def test_only_the_first_creation_stands(store):
    assert store.create("a", b"first")
    assert not store.create("a", b"second")
    assert store.create("a", b"first"), "what is there is what was asked for"
    assert content(store, "a") == b"first"


def test_of_many_creators_at_once_exactly_one_stands(address):
    stores = [open_store(address) for _ in range(WRITERS)]
    with ThreadPoolExecutor(WRITERS) as pool:
        won = list(pool.map(lambda n: stores[n].create("a", b"%d" % n), range(WRITERS)))
    assert sum(won) == 1
    assert content(stores[0], "a") == b"%d" % won.index(True)


def test_names_are_sorted(store):
    for name in ("b/2", "b/1", "c"):
        store.write(name, [b"x"])
    assert store.names("b/") == ["b/1", "b/2"]
    assert store.names("") == ["b/1", "b/2", "c"]
    assert store.names("nowhere/") == []


def test_a_name_that_begins_another_is_not_it(store):
    store.write("ab", [b"x"])
    assert not store.exists("a")
    assert store.exists("ab")


def test_deleting_takes_all_below(store):
    for name in ("b/1", "b/2/3", "c"):
        store.write(name, [b"x"])
    store.delete("b/")
    assert store.names("") == ["c"]
    store.delete("nowhere/")


def test_a_missing_object_is_named(store):
    with pytest.raises(StoreError, match=r"cannot read gone in .*: no such object"):
        content(store, "gone")


def test_writers_of_one_part_cannot_mix(address):
    def work(number):
        artifact = Artifact(open_store(address), "runs/r/rollout/1")
        mine = [Problem(id=f"{number}-{i}", question="q", answer="a") for i in range(50)]
        return artifact.write_part(0, mine, 50, Spend(generated=number), {"writer": number})

    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(work, range(8)))
    assert all(part == parts[0] for part in parts), "the others adopt the part that stands"
    artifact = Artifact(open_store(address), "runs/r/rollout/1")
    artifact.commit(Receipt(stage="rollout", key="k", code="c", blobs=(parts[0].blob,)))
    writers = {record.id.split("-")[0] for record in artifact.records(Problem)}
    assert writers == {str(parts[0].counts["writer"])}, "records and note are of one writer"
    assert len([name for name in artifact.store.names("") if name.endswith(".zst")]) == 1


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete"])
def test_damage_is_never_accepted(store, damage):
    artifact = Artifact(store, "runs/r/rollout/1")
    problems = [Problem(id=str(i), question="q", answer="a") for i in range(50)]
    part = artifact.write_part(0, problems, 50, Spend(), {})
    artifact.commit(Receipt(stage="rollout", key="k", code="c", blobs=(part.blob,)))
    name = f"{artifact.base}/{part.blob.name}"
    data = bytearray(content(store, name))
    data[len(data) // 2] ^= 1
    store.delete(name)
    if damage != "delete":
        store.write(name, [bytes(data[:-5] if damage == "truncate" else data)])
    seen = []
    with pytest.raises(StoreError, match="part-00000"):
        seen.extend(artifact.records(Problem))
    assert seen == [], "no record is handed out before its part is verified"


HOLD = (
    "import sys; from dto_jobs.artifacts.addresses import open_store\n"
    "with open_store(sys.argv[1]).claim('runs/r'): print('held', flush=True); sys.stdin.read()"
)


def test_a_second_process_is_told_who_holds_the_run(address, store):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, address], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(os.environ)
    )
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(RunConflictError, match=f"pid {holder.pid}"), store.claim("runs/r"):
            pass
    finally:
        holder.communicate(timeout=60)
    with store.claim("runs/r"):
        """The claim ends with its process."""
