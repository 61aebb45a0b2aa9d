import errno
import os
import subprocess
import sys

import pytest

from dto_jobs.artifacts import folder
from dto_jobs.artifacts.folder import FolderStore
from dto_jobs.errors import RunConflictError, StoreError


@pytest.fixture
def store(tmp_path):
    return FolderStore(tmp_path)


def content(store, name):
    return b"".join(store.read(name))


def test_what_is_written_is_read(store):
    store.write("a/b", [b"one ", b"two"])
    assert content(store, "a/b") == b"one two"


def test_writing_again_replaces(store):
    store.write("a", [b"old"])
    store.write("a", [b"new"])
    assert content(store, "a") == b"new"


def test_a_write_that_fails_midway_leaves_the_old_object_and_no_litter(store, tmp_path):
    store.write("a", [b"old"])

    def breaking():
        yield b"new"
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - the very error of the source
        store.write("a", breaking())
    assert content(store, "a") == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_names_are_sorted_and_hide_unfinished_writes(store, tmp_path):
    for name in ("b/2", "b/1", "c"):
        store.write(name, [b""])
    (tmp_path / "b" / ".x.tmp").write_bytes(b"")
    assert store.names("b/") == ["b/1", "b/2"]
    assert store.names("") == ["b/1", "b/2", "c"]
    assert store.names("nowhere/") == []


def test_deleting_takes_all_below(store):
    for name in ("b/1", "b/2/3", "c"):
        store.write(name, [b""])
    store.delete("b/")
    assert store.names("") == ["c"]


def test_a_missing_object_is_named(store):
    with pytest.raises(StoreError, match="cannot read gone"):
        content(store, "gone")


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "no space left"), (errno.EROFS, "read-only"), (errno.EACCES, "permission denied")],
)
def test_a_full_or_closed_store_says_what_to_do(store, monkeypatch, number, words):
    def refuse(*_args, **_kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(folder, "NamedTemporaryFile", refuse)
    with pytest.raises(StoreError, match=words):
        store.write("a", [b""])


def test_a_second_process_is_told_who_holds_the_run(store, tmp_path):
    code = (
        "import sys; from pathlib import Path; from dto_jobs.artifacts.folder import FolderStore\n"
        "with FolderStore(Path(sys.argv[1])).claim('runs/r'): print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(RunConflictError, match=f"pid {holder.pid}"), store.claim("runs/r"):
            pass
    finally:
        holder.communicate(timeout=20)
    with store.claim("runs/r"):
        """The claim ends with its process."""
