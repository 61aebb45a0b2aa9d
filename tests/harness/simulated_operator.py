"""The operator as a process of a simulated cluster: what it has heard of, and what it does about it, call by call."""

from collections import deque
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from simulated_cluster import Cluster, Event, Raw, seconds

from dto_operator.decision import Decision
from dto_operator.observation import observe
from dto_operator.orders import DeleteRun, Hold, Release, Remove, Start
from dto_operator.reconcile import reconcile
from dto_operator.settings import OperatorSettings
from dto_operator.status import Status

SETTINGS = OperatorSettings()
ROUNDS = 3


class KilledError(Exception):
    """The process was killed."""


class Operator:
    """One process. What it knows comes by three watches, each in order, each as late as it likes."""

    def __init__(self, cluster: Cluster, at_call: Callable[[str], object] = str) -> None:
        self.cluster = cluster
        self.known: dict[tuple[str, str], Raw] = {}
        self.coming: dict[str, deque[Event]] = {"run": deque(), "job": deque(), "pod": deque()}
        self.due: datetime | None = None
        self.dirty = True
        self.progress: dict[str, tuple[int, int]] = {}
        self.said: list[Any] = []
        self.last: Decision | None = None
        self._at_call = at_call
        self._gone: set[str] = set()
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
        elif held["metadata"]["uid"] not in self._gone and not self._older(held, self.known.get((kind, name))):
            self.known[kind, name] = held
        self.dirty = True

    def _older(self, held: Raw, known: Raw | None) -> bool:
        """Tell whether an event is older than what is known: of what it wrote itself, a process knows the answer."""
        return known is not None and int(held["metadata"]["resourceVersion"]) < int(
            known["metadata"]["resourceVersion"]
        )

    def look(self) -> None:
        """Look at the run as the conductor does: decide, carry out, and write the status once nothing more follows at once."""
        self.dirty, self.due = False, None
        for left in reversed(range(ROUNDS)):
            run = self.known.get(("run", "qwen"))
            if run is None:
                return
            self.last = decision = self._decide(run)
            moved = False
            for order in decision.orders:
                moved |= self._carry_out(order)
            if moved and left:
                continue
            if decision.status is not None:
                self._call("status", partial(self._write, decision.status))
            if moved or decision.look_again is not None:
                self.due = self.cluster.now + seconds(decision.look_again or 0 if not moved else 0)
            return

    def _decide(self, run: Raw) -> Decision:
        jobs = [held for (kind, _), held in self.known.items() if kind == "job"]
        pods = [held for (kind, _), held in self.known.items() if kind == "pod"]
        return reconcile(observe(run, jobs, pods, self.progress), self.cluster.now, SETTINGS)

    def _carry_out(self, order: object) -> bool:
        """Carry an order out; tell whether something was done to the run's objects."""
        match order:
            case Start():
                self._call(f"start {order.step}", partial(self._start, order))
            case Remove():
                self._call("remove", partial(self._remove, order))
            case Hold() | Release():
                held = isinstance(order, Hold)
                self._call("hold" if held else "release", partial(self._set_finalizer, held=held))
            case DeleteRun():
                self._call("delete", partial(self.cluster.drop, "run", "qwen"))
            case _:
                # The same words are the same Event.
                self.said += [] if order in self.said else [order]
                return False
        return True

    def _call(self, name: str, call: Callable[[], object]) -> None:
        """Ask the API server for something; the process may be killed before the call, or before it hears the answer."""
        self._at_call(f"before {name}")
        call()
        self._at_call(f"after {name}")

    def _start(self, order: Start) -> None:
        held = self.cluster.start(order)
        self.known["job", held["metadata"]["name"]] = held

    def _set_finalizer(self, *, held: bool) -> None:
        now = self.cluster.set_finalizer(held=held)
        if now is not None:
            self.known["run", "qwen"] = now

    def _remove(self, order: Remove) -> None:
        self.cluster.remove(order)
        self.known.pop(("job", order.job), None)
        self._gone.add(order.uid)

    def _write(self, status: Status) -> None:
        self.known["run", "qwen"] = self.cluster.write_status(status)

    def catch_up(self) -> None:
        """Hear everything there is to hear, and do what follows, until nothing more does."""
        while True:
            for kind, queue in self.coming.items():
                while queue:
                    self.take_in(kind)
            if not self.dirty and (self.due is None or self.due > self.cluster.now):
                return
            self.look()
