"""What goes on beside the watches: workers, the slow comparing with whole lists, the Lease, and the asking for progress."""

import logging
import threading
import time
from collections.abc import Callable

from dto_operator.cluster import ClusterError
from dto_operator.conductor import Conductor, Tools
from dto_operator.leadership import Leadership
from dto_operator.progress import ProgressReader
from dto_operator.settings import OperatorSettings

log = logging.getLogger(__name__)

WORKERS = 16
"""Runs that are worked on at a time. A look takes a millisecond but for its requests, which wait for the API server."""
GATHER_SECONDS = 1.0
"""A list in pieces tells of itself once for each object: they are gathered into one comparison."""
AGAIN_SECONDS = 1.0
PATIENCE_SECONDS = 5.0
"""How long workers may finish what they are at when the operator ends."""


class Background:
    """The threads of the operator, from `start` to `stop`.

    Nothing is written before everything was listed once, and again after leadership was gained: who sees a run and not yet
    its Jobs would start them a second time.
    """

    def __init__(
        self, tools: Tools, conductor: Conductor, leadership: Leadership | None, settings: OperatorSettings
    ) -> None:
        self._tools, self._conductor, self._leadership, self._settings = tools, conductor, leadership, settings
        self._stopped, self._due, self._compared = threading.Event(), threading.Event(), threading.Event()
        self._terms = 0
        self._threads: list[threading.Thread] = []
        self._namespaces: tuple[str | None, ...] = settings.namespaces or (None,)
        tools.cluster.may_write = self.may_write

    def may_write(self) -> bool:
        """Whether this replica leads and knows what there is."""
        return self._compared.is_set() and self.leading()

    def leading(self) -> bool:
        """Whether this replica works: it is the only one, or it holds the Lease."""
        return self._leadership is None or self._leadership.leading

    def relisted(self) -> None:
        """Take note that a watch began anew with a list, which does not say what is gone."""
        self._due.set()

    def start(self) -> None:
        """Start all threads."""
        progress = ProgressReader(
            self._tools.sightings, self._settings.stage_metrics_port, self._tools.amounts, self._tools.queue.add
        )
        self._begin("compare", self._compare)
        self._begin("progress", lambda: progress.keep(self._stopped, self._settings.progress_seconds))
        if self._leadership is not None:
            leadership = self._leadership
            self._begin("lease", lambda: leadership.keep(self._stopped, self._gained))
        for number in range(WORKERS):
            self._begin(f"worker-{number}", lambda: self._conductor.work(self.may_write))

    def stop(self) -> None:
        """Let all threads finish what they are at, and give the Lease back."""
        self._stopped.set()
        self._due.set()
        self._tools.queue.close()
        end = time.monotonic() + PATIENCE_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _begin(self, name: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _gained(self) -> None:
        self._terms += 1
        self._compared.clear()
        self._due.set()

    def _compare(self) -> None:
        while not self._stopped.is_set():
            self._due.clear()
            term = self._terms
            if self.leading() and not self._listed(term):
                self._stopped.wait(AGAIN_SECONDS)
                continue
            self._due.wait(self._settings.resync_seconds)
            self._stopped.wait(GATHER_SECONDS if self._compared.is_set() else 0)

    def _listed(self, term: int) -> bool:
        try:
            self._conductor.compare(self._namespaces)
        except ClusterError as error:
            log.warning("runs, Jobs and pods cannot be listed: %s", error)
            return False
        if term == self._terms and not self._compared.is_set():
            self._compared.set()
            # Looked at before, they could not be worked on.
            self._conductor.look_at_all()
        return term == self._terms
