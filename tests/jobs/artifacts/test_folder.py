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


def test_a_write_that_fails_midway_leaves_the_old_object_and_no_litter(store, tmp_path):
    store.write("a", [b"old"])

    def breaking():
        yield b"new"
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - the very error of the source
        store.write("a", breaking())
    assert b"".join(store.read("a")) == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_unfinished_writes_have_no_name(store, tmp_path):
    store.write("b/1", [b""])
    (tmp_path / "b" / ".x.tmp").write_bytes(b"")
    assert store.names("b/") == ["b/1"]


@pytest.mark.parametrize("name", ["../outside", "a/../../outside", "/etc/passwd"])
def test_a_name_cannot_lead_out_of_the_folder(store, name):
    reading = (store.exists, lambda name: list(store.read(name)), store.names, store.sizes)
    for action in (*reading, lambda name: store.write(name, [b""]), store.delete):
        for place in (name, f"{name}/"):
            with pytest.raises(StoreError, match="leads out"):
                action(place)


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
