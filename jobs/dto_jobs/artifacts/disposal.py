"""What a run leaves in a store, taken away again: all of it, or what only lay between its first and its last stage.

Nothing that another run points to is touched, and nothing here has to succeed at once: the same call goes on where a killed
one stopped, because what names the rest (`run.json`, the notes of stages) goes last.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from dto_jobs.artifacts.artifact import DISCARDED, to_json
from dto_jobs.artifacts.store import Store
from dto_jobs.pipeline import STAGES_UNTIL

RUN_FILE = "run.json"
KEY, BASE = re.compile(r"\w+", re.ASCII), re.compile(r"runs/(?!\.)[^/]+/\w+/\d+", re.ASCII)
"""Names as runs write them. What a bucket says is not to be trusted with what is removed: any other name is passed over."""
RECEIPT, ATTEMPT = "receipt.json", "attempt.json"
KEPT_STAGES = frozenset({"training"})
"""Stages whose artifact is what the run was for."""
INTERMEDIATE = frozenset(name for names in STAGES_UNTIL.values() for name in names) - KEPT_STAGES


@dataclass
class Disposal:
    """What was taken away, and what was left since others use it."""

    objects: int = 0
    bytes: int = 0
    kept: list[str] = field(default_factory=list)
    """Artifacts that other runs point to."""

    def words(self) -> str:
        """Return it as a sentence."""
        left = f"; {len(self.kept)} artifacts that other runs use stay: {', '.join(self.kept)}" if self.kept else ""
        return f"{self.objects:,} objects with {self.bytes:,} bytes removed{left}"


class Belongings:
    """What belongs to one run in a store that other runs use, too."""

    def __init__(self, store: Store, run: str) -> None:
        self._store, self._run = store, run
        self._place = f"runs/{run}/"

    def discard(self) -> Disposal:
        """Remove all that the run owns: artifacts, notes, results, report, its sources, and the cache's entries for them."""
        done = Disposal()
        own = self._own_artifacts() | self._left_by_others()
        kept = self._freed(own, done)
        done.kept = sorted(kept)
        self._remove_sources(done)
        for base in sorted(own - kept):
            self._remove(f"{base}/", done)
        self._remove_rest(kept, done)
        return done

    def discard_intermediates(self) -> Disposal:
        """Remove the objects of artifacts that only led to others, and attempts that led nowhere; receipts stay, with what
        they tell of cost.
        """  # noqa: D205 - one sentence, too long for a line
        done = Disposal()
        notes = {stage: base for stage, base in self._notes(self._run) if base.startswith(self._place)}
        lasting = {base for stage, base in notes.items() if stage in KEPT_STAGES}
        own = self._own_artifacts() - lasting
        kept = self._freed(own, done)
        done.kept = sorted(kept)
        standing = set(notes.values())
        for base in sorted(own - kept):
            self._empty(base, done, receipt=base in standing)
        for base in sorted(lasting):
            self._remove(f"{base}/checkpoints/", done)
        self._store.write(
            f"{self._place}{DISCARDED}", [to_json({"objects": done.objects, "bytes": done.bytes, "kept": done.kept})]
        )
        return done

    def _empty(self, base: str, done: Disposal, *, receipt: bool) -> None:
        """Remove an artifact's objects; its receipt stays where the run ended with it, marked as one of something that is gone."""
        if receipt:
            self._store.write(f"{base}/{DISCARDED}", [b"{}"])
        stays = {f"{base}/{name}" for name in (RECEIPT, DISCARDED)} if receipt else set()
        self._remove_all((name for name in self._store.sizes(f"{base}/") if name not in stays), done)

    # Who points where

    def _own_artifacts(self) -> set[str]:
        """Return the places of the run's attempts, whole or not."""
        parts = (name.split("/") for name in self._store.names(self._place))
        return {"/".join(part[:4]) for part in parts if len(part) > 4 and part[3].isdigit()}

    def _left_by_others(self) -> set[str]:
        """Return artifacts that the run points to and whose own run was discarded: the last who uses them removes them."""
        bases = {base for _, base in self._notes(self._run) if not base.startswith(self._place)}
        return {base for base in bases if not self._store.exists(f"{base.rsplit('/', 2)[0]}/{RUN_FILE}")}

    def _freed(self, bases: set[str], done: Disposal) -> set[str]:
        """Take artifacts that nobody else points to out of the cache; return those that stay, since somebody does.

        Looked at again afterwards: from then on no run can come to point to them by the cache.
        """
        for base in sorted(bases - self._used()):
            keys = {str(self._json(f"{base}/{name}").get("key", "")) for name in (ATTEMPT, RECEIPT)}
            entries = (f"cache/{key}.json" for key in keys if KEY.fullmatch(key))
            self._remove_all((entry for entry in entries if self._base(entry) == base), done)
        return bases & self._used()

    def _used(self) -> set[str]:
        """Return the artifacts that other runs point to."""
        return {base for run in self._others() for _, base in self._notes(run)}

    def _others(self) -> set[str]:
        runs = {name.split("/")[1] for name in self._store.names("runs/") if name.count("/") == 2}
        return runs - {self._run}

    def _notes(self, run: str) -> Iterator[tuple[str, str]]:
        """Yield the stages of a run that are done, with the places of their artifacts."""
        for stage in sorted(KEPT_STAGES | INTERMEDIATE):
            base = self._base(f"runs/{run}/{stage}.json")
            if base is not None:
                yield stage, base

    def _base(self, name: str) -> str | None:
        base = self._json(name).get("base")
        return base if isinstance(base, str) and BASE.fullmatch(base) else None

    def _json(self, name: str) -> dict[str, Any]:
        """Return a small object of JSON; nothing where it is gone or is something else."""
        if not self._store.exists(name):
            return {}
        try:
            found = json.loads(b"".join(self._store.read(name)))
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    # What is removed

    def _remove_sources(self, done: Disposal) -> None:
        """Remove the problems and benchmarks that only this run has read."""
        others = {key for run in self._others() for key in self._sources(run)}
        for key in self._sources(self._run) - others:
            self._remove(f"sources/{key}/", done)

    def _sources(self, run: str) -> set[str]:
        named = self._json(f"runs/{run}/{RUN_FILE}").get("sources")
        keys = named.values() if isinstance(named, dict) else ()
        return {key for key in keys if isinstance(key, str) and KEY.fullmatch(key)}

    def _remove_rest(self, kept: set[str], done: Disposal) -> None:
        """Remove what is left of the run: the objects that name others last, and all at once where nothing stays."""
        sizes = self._store.sizes(self._place)
        stays = tuple(f"{base}/" for base in kept)
        rest = [name for name in sizes if not name.startswith(stays)]
        last = [f"{self._place}{RUN_FILE}"]
        naming = [name for name in rest if name.count("/") == 2 and name not in last]
        self._remove_all((name for name in rest if name not in {*naming, *last}), done)
        self._remove_all(naming, done)
        self._remove_all((name for name in last if name in sizes), done)
        if not kept:
            self._store.delete(self._place)

    def _remove(self, prefix: str, done: Disposal) -> None:
        sizes = self._store.sizes(prefix)
        if sizes:
            self._store.delete(prefix)
            done.objects += len(sizes)
            done.bytes += sum(sizes.values())

    def _remove_all(self, names: Iterable[str], done: Disposal) -> None:
        for name in names:
            self._remove(name, done)
