"""Short texts kept in a store beyond a run: what judges said, shared by all runs of the store."""

from dto_jobs.artifacts.store import Store


class StoreMemory:
    """Keeps texts below one place of a store, by name; names are digests, so that a text is never another one's."""

    def __init__(self, store: Store, place: str) -> None:
        self._store = store
        self._place = place

    def get(self, name: str) -> str | None:
        """Return what was kept under a name; None for nothing."""
        where = self._where(name)
        return b"".join(self._store.read(where)).decode(errors="replace") if self._store.exists(where) else None

    def put(self, name: str, text: str) -> None:
        """Keep a text."""
        self._store.write(self._where(name), [text.encode(errors="replace")])

    def _where(self, name: str) -> str:
        # Two levels: no folder gets more entries than a file system likes.
        return f"{self._place}/{name[:2]}/{name}.txt"
