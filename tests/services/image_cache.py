"""Where the tests' images are built and kept: bounded, and tidied before it is used, whatever ended the run before.

What is kept is what the present locks and sources need. Images that a live run of the tests has asked for are held by it with
a lock on a file, which the kernel lets go of with the process; the rest goes at the next build.
"""

import fcntl
import functools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

CACHE = Path(
    os.environ.get("DTO_TOOLS") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dto-tools"
)
STORAGE, LAYOUTS, SCRATCH, PLACES, USES = (CACHE / name for name in ("storage", "layouts", "scratch", "nodes", "uses"))
OURS = "localhost/dto-"
BUILDAH = ("buildah", "--storage-driver=overlay", f"--root={STORAGE}", f"--runroot={STORAGE}-run")
_held: dict[str, int] = {}


@contextmanager
def alone() -> Iterator[None]:
    """Keep other runs of the tests from building and tidying at the same time."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "images.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _tidy_once()
        yield


def buildah(*arguments: str | Path) -> str:
    """Run buildah on a folder of its own: no daemon, no registry, no user namespace, so it runs wherever root does."""
    return run(*BUILDAH, *arguments)


def run(*command: str | Path) -> str:
    """Run what makes an image, and return what it says; AssertionError where it fails."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment())
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stderr[-3000:]}"
    return done.stdout.strip()


def environment() -> dict[str, str]:
    """Return the environment in which images are made."""
    return {**os.environ, "BUILDAH_ISOLATION": "chroot", "TMPDIR": str(SCRATCH)}


def hold(name: str) -> None:
    """Keep an image from being tidied away for as long as this process lives."""
    if name not in _held:
        _held[name] = os.open(_use(name), os.O_CREAT | os.O_RDWR)
        fcntl.flock(_held[name], fcntl.LOCK_SH)


def names() -> dict[str, str]:
    """Return the names of our images that are kept, with their ids."""
    listed: list[dict[str, Any]] = json.loads(buildah("images", "--json") or "[]") or []
    return {name: one["id"] for one in listed for name in one.get("names") or () if name.startswith(OURS)}


def free_gigabytes() -> float:
    """Return how much room the disk has for images."""
    CACHE.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(CACHE).free / 1e9


def drop_old_images() -> None:
    """Remove images that a newer build took the name of and no live run holds, and all layers that nothing needs any more."""
    kept = names()
    for name, known in kept.items():
        target, _, version = name.partition(":")
        stale = known.startswith(version) and kept.get(f"{target}:latest") not in {None, known}
        if stale and not _in_use(name):
            buildah("rmi", name)
    buildah("rmi", "--prune")
    for layout in LAYOUTS.glob("*"):
        _drop_parts(layout, set(names()))


def drop_free_places(mine: int) -> None:
    """Remove what nodes of earlier runs have unpacked, but for one that lives and the one that is mine."""
    for folder in PLACES.glob("[0-9]*"):
        if folder.suffix != ".lock" and folder.name != str(mine):
            with _free(PLACES / f"{folder.name}.lock") as free:
                if free:
                    shutil.rmtree(folder, ignore_errors=True)


def tidy() -> None:
    """Remove what builds left behind that were killed, and what is old; to be called while alone: nobody else builds then."""
    mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for place in sorted((one for one in mounted if Path(one).is_relative_to(CACHE)), key=len, reverse=True):
        subprocess.run(["umount", "--lazy", place], check=False, capture_output=True)
    shutil.rmtree(SCRATCH, ignore_errors=True)
    SCRATCH.mkdir()
    if STORAGE.exists():
        buildah("rm", "--all")
        drop_old_images()


_tidy_once = functools.cache(tidy)


def _drop_parts(layout: Path, wanted: set[str]) -> None:
    index = layout / "index.json"
    if not index.exists():
        shutil.rmtree(layout)
        return
    content = json.loads(index.read_text())
    content["manifests"] = [one for one in content["manifests"] if set(one.get("annotations", {}).values()) & wanted]
    index.write_text(json.dumps(content))
    needed = {digest for one in content["manifests"] for digest in parts(layout, one["digest"])}
    for blob in (layout / "blobs").rglob("*"):
        if blob.is_file() and f"{blob.parent.name}:{blob.name}" not in needed:
            blob.unlink()


def parts(layout: Path, digest: str) -> list[str]:
    """Return the digests of all that a manifest in a layout consists of, itself first."""
    content = json.loads(blob(layout, digest).read_text())
    return [digest, content["config"]["digest"], *(layer["digest"] for layer in content["layers"])]


def blob(layout: Path, digest: str) -> Path:
    """Return where a layout keeps a part."""
    return layout / "blobs" / digest.replace(":", "/")


def _use(name: str) -> Path:
    USES.mkdir(parents=True, exist_ok=True)
    return USES / name.replace("/", "_")


def _in_use(name: str) -> bool:
    if name in _held:
        return True
    with _free(_use(name)) as free:
        if free:
            _use(name).unlink()
        return not free


@contextmanager
def _free(path: Path) -> Iterator[bool]:
    """Take a lock for a moment, if nobody has it."""
    with path.open("w") as lock:
        taken = False
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            taken = True
        yield taken
