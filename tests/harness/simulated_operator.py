"""The operator as a process of a simulated cluster: what it has heard of, and what it does about it, call by call."""

from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Any

from simulated_cluster import Cluster, ConflictError, Event, Raw, seconds

from dto_operator.decision import Decision
from dto_operator.observation import observe
from dto_operator.orders import DeleteRun, Remove, Start
from dto_operator.reconcile import reconcile
from dto_operator.settings import OperatorSettings

SETTINGS = OperatorSettings()


class KilledError(Exception):
    """The process was killed."""


class Operator:
    """One process. What it knows comes by three watches, each in order, each as late as it likes."""

    def __init__(self, cluster: Cluster, before_call: Callable[[str], None] = str) -> None:
        self.cluster = cluster
        self.known: dict[tuple[str, str], Raw] = {}
        self.coming: dict[str, deque[Event]] = {"run": deque(), "job": deque(), "pod": deque()}
        self.due: datetime | None = None
        self.dirty = True
        self.progress: dict[str, tuple[int, int]] = {}
        self.said: list[Any] = []
        self.last: Decision | None = None
        self._before_call = before_call
        self.open()

    def open(self) -> None:
        """List everything, and watch from there on, as at a start and after a watch broke."""
        self.known = dict(self.cluster.objects)
        for queue in self.coming.values():
            queue.clear()
        self.cluster.listeners[:] = [self._hear]
        self.dirty = True

    def _hear(self, event: Event) -> None:
        self.coming[event[0]].append(event)

    def take_in(self, kind: str, *, again: bool = False) -> None:
        """Take in the next event of a watch; `again` leaves it there to come twice."""
        queue = self.coming[kind]
        if not queue:
            return
        _, name, held = queue[0] if again else queue.popleft()
        if held is None:
            self.known.pop((kind, name), None)
        elif not self._older(held, self.known.get((kind, name))):
            self.known[kind, name] = held
        self.dirty = True

    def _older(self, held: Raw, known: Raw | None) -> bool:
        """Tell whether an event is older than what is known: of what it wrote itself, a process knows the answer."""
        return known is not None and int(held["metadata"]["resourceVersion"]) < int(
            known["metadata"]["resourceVersion"]
        )

    def look(self) -> None:
        """Look at the run once: decide, carry out, write the status."""
        self.dirty, self.due = False, None
        run = self.known.get(("run", "qwen"))
        if run is None:
            return
        jobs = [held for (kind, _), held in self.known.items() if kind == "job"]
        pods = [held for (kind, _), held in self.known.items() if kind == "pod"]
        observed = observe(run, jobs, pods, self.progress)
        self.last = reconcile(observed, self.cluster.now, SETTINGS)
        if self.last.look_again is not None:
            self.due = self.cluster.now + seconds(self.last.look_again)
        for order in self.last.orders:
            self._carry_out(order)
        if self.last.status is not None:
            self._call("status", lambda: self._write(run))

    def _carry_out(self, order: object) -> None:
        if isinstance(order, Start):
            self._call(f"start {order.step}", lambda: self.cluster.start(order))
        elif isinstance(order, Remove):
            self._call("remove", lambda: self.cluster.remove(order))
        elif isinstance(order, DeleteRun):
            self._call("delete", lambda: self.cluster.drop("run", "qwen"))
        else:
            self.said.append(order)

    def _call(self, name: str, call: Callable[[], None]) -> None:
        self._before_call(name)
        call()

    def _write(self, run: Raw) -> None:
        assert self.last is not None
        assert self.last.status is not None
        try:
            held = self.cluster.write_status(self.last.status, run["metadata"]["resourceVersion"])
        except ConflictError:
            self.dirty = True
            return
        self.known["run", "qwen"] = held

    def catch_up(self) -> None:
        """Hear everything there is to hear, and do what follows, until nothing more does."""
        while True:
            for kind, queue in self.coming.items():
                while queue:
                    self.take_in(kind)
            if not self.dirty:
                return
            self.look()
