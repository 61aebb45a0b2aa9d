"""The port to a store: named objects, each whole or absent."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol


class Store(Protocol):
    """Keeps objects by name, folders marked by slashes. Every error is a StoreError."""

    address: str
    """How a person names the store."""

    def write(self, name: str, chunks: Iterable[bytes]) -> None:
        """Keep an object whole, in place of one of the same name; a reader sees the old or the new, never a piece."""

    def create(self, name: str, data: bytes) -> bool:
        """Keep a small object unless there is one of this name, and tell whether the one there now is this.

        Of any number of processes that create the same name at once, exactly one content stands.
        """

    def read(self, name: str) -> Iterator[bytes]:
        """Yield an object's bytes; StoreError where there is none."""

    def exists(self, name: str) -> bool:
        """Tell whether there is an object of this name."""

    def names(self, prefix: str) -> list[str]:
        """Return the names that begin so, sorted."""

    def sizes(self, prefix: str) -> dict[str, int]:
        """Return the bytes of every object whose name begins so."""

    def delete(self, prefix: str) -> None:
        """Remove all objects whose names begin so."""

    def claim(self, name: str) -> AbstractContextManager[None]:
        """Hold the sole right to write below a name; RunConflictError where another process holds it."""
