"""A folder as a store: the embedded default, laid out as a bucket would be."""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from tempfile import NamedTemporaryFile

from dto_jobs.errors import RunConflictError, StoreError

CHUNK = 1 << 20


class FolderStore:
    """Keeps objects as files below a root. Writing is atomic: a temporary file, synced, then renamed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.address = str(root)

    def write(self, name: str, chunks: Iterable[bytes]) -> None:
        """Keep an object whole, in place of one of the same name."""
        path = self._path(name)
        with self._explained("write", name):
            path.parent.mkdir(parents=True, exist_ok=True)
            with _written_aside(path, chunks) as aside:
                aside.replace(path)

    def create(self, name: str, data: bytes) -> bool:
        """Keep a small object unless there is one of this name, and tell whether the one there now is this."""
        path = self._path(name)
        with self._explained("write", name):
            path.parent.mkdir(parents=True, exist_ok=True)
            with _written_aside(path, [data]) as aside, suppress(FileExistsError):
                # A second name for the file: given at once with all its content, and refused where there is one.
                path.hardlink_to(aside)
        return b"".join(self.read(name)) == data

    def read(self, name: str) -> Iterator[bytes]:
        """Yield an object's bytes."""
        path = self._path(name)
        with self._explained("read", name), path.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk

    def exists(self, name: str) -> bool:
        """Tell whether there is an object of this name."""
        return self._path(name).is_file()

    def names(self, prefix: str) -> list[str]:
        """Return the names that begin so, sorted; unfinished writes are not objects."""
        path = self._path(prefix)
        folder = path if prefix.endswith("/") or not prefix else path.parent
        if not folder.is_dir():
            return []
        files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
        names = (path.relative_to(self._root).as_posix() for path in files)
        return sorted(name for name in names if name.startswith(prefix))

    def sizes(self, prefix: str) -> dict[str, int]:
        """Return the bytes of every object whose name begins so."""
        with self._explained("list", prefix):
            return {name: (self._root / name).stat().st_size for name in self.names(prefix)}

    def delete(self, prefix: str) -> None:
        """Remove all objects whose names begin so."""
        path = self._path(prefix)
        with self._explained("delete", prefix):
            if prefix.endswith("/") and path.is_dir():
                shutil.rmtree(path)
                return
            for name in self.names(prefix):
                (self._root / name).unlink()

    @contextmanager
    def claim(self, name: str) -> Iterator[None]:
        """Hold the sole right to write below a name, as long as this process lives."""
        path = self._path(name) / ".claim"
        with self._explained("write", name):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("a+")
        with file:
            try:
                # The kernel lets go of the lock with the process, however it ends: nothing is left to clean up.
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                holder = file.read().strip() or "unknown"
                raise RunConflictError(
                    f"{name}: another process (pid {holder}) is at this run; wait for it, or end it and start again"
                ) from error
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    def _path(self, name: str) -> Path:
        # Names are read from objects too, and what an object holds is not to be trusted with the rest of the disk.
        if ".." in PurePosixPath(name).parts or name.startswith("/"):
            raise StoreError(f"{name!r} in {self._root} is no name of an object: it leads out of the store")
        return self._root / name

    @contextmanager
    def _explained(self, verb: str, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(f"cannot {verb} {name} in {self._root}: {_cause(error)}") from error


@contextmanager
def _written_aside(path: Path, chunks: Iterable[bytes]) -> Iterator[Path]:
    """Hand out a synced file beside the path, to be given its name; leave nothing else behind."""
    with NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".tmp", delete=False) as file:
        try:
            file.writelines(chunks)
            file.flush()
            os.fsync(file.fileno())
            yield Path(file.name)
        finally:
            with suppress(OSError):
                Path(file.name).unlink(missing_ok=True)


def _cause(error: OSError) -> str:
    remedies = {
        errno.ENOSPC: "no space left; free some, then run the same command again: what was committed is kept",
        errno.EDQUOT: "the quota is used up; free some space, then run the same command again",
        errno.EROFS: "the file system is read-only; name another folder with --store",
        errno.EACCES: "permission denied; name a folder you may write to with --store",
        errno.ENOENT: "no such object",
    }
    return remedies.get(error.errno or 0, error.strerror or str(error))
