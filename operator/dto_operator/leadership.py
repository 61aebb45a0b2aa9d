"""Which of several replicas works: the one that holds the Lease, for as long as it knows that it does."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from dto_operator import names
from dto_operator.cluster import Cluster, ClusterError, ConflictError, Held, MissingError

log = logging.getLogger(__name__)

RENEWALS = 5
"""So many times the Lease is renewed within its duration."""
MARGIN = 0.2
"""Share of the duration by which a leader stops before others may take over: for a request that is under way."""


class Leadership:
    """The Lease, tried for again and again.

    No clock but this process's own counts: a holder is dead when its Lease has not changed for its duration *while it was
    watched from here*, and a leader stops `MARGIN` before the same duration is over since it *asked* for its last renewal.
    """

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        identity: str,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster, self._namespace, self._identity = cluster, namespace, identity
        self._seconds, self._clock = seconds, clock
        self._until = float("-inf")
        self._seen: tuple[str, float] = ("", clock())

    @property
    def leading(self) -> bool:
        """This replica may write."""
        return self._clock() < self._until

    def keep(self, stopped: threading.Event, gained: Callable[[], None]) -> None:
        """Try for the Lease until stopped; say whenever it was gained; hand it back at the end."""
        while not stopped.is_set():
            led = self.leading
            self.attempt()
            if self.leading and not led:
                log.info("%s leads now", self._identity)
                gained()
            if led and not self.leading:
                log.warning("%s leads no more", self._identity)
            stopped.wait(self._seconds / RENEWALS)
        self.release()

    def attempt(self) -> None:
        """Take or renew the Lease, if that may be done now."""
        asked = self._clock()
        try:
            held = self._cluster.lease(self._namespace, names.OPERATOR)
        except MissingError:
            held = None
        except ClusterError as error:
            log.warning("the Lease cannot be read: %s", error)
            return
        if held is not None and not self._mine(held) and not self._expired(held):
            self._until = float("-inf")
            return
        try:
            if held is None:
                self._cluster.create_lease(self._lease(None))
            else:
                self._cluster.replace_lease(self._lease(held))
        except ConflictError:
            return
        except ClusterError as error:
            log.warning("the Lease cannot be renewed: %s", error)
            return
        self._until = asked + self._seconds * (1 - MARGIN)

    def release(self) -> None:
        """Let another replica take over at once."""
        if not self.leading:
            return
        self._until = float("-inf")
        try:
            held = self._cluster.lease(self._namespace, names.OPERATOR)
            if self._mine(held):
                self._cluster.replace_lease({**held, "spec": {**held["spec"], "holderIdentity": ""}})
        except ClusterError as error:
            log.warning("the Lease cannot be handed back: %s", error)

    def _mine(self, held: Held) -> bool:
        return bool(held.get("spec", {}).get("holderIdentity") == self._identity)

    def _expired(self, held: Held) -> bool:
        """Whether nobody holds the Lease: given back, or unchanged for its whole duration while it was watched."""
        spec = held.get("spec", {})
        if not spec.get("holderIdentity"):
            return True
        version = str(held["metadata"]["resourceVersion"])
        if version != self._seen[0]:
            self._seen = (version, self._clock())
        return self._clock() - self._seen[1] > float(spec.get("leaseDurationSeconds") or self._seconds)

    def _lease(self, held: Held | None) -> Held:
        now = datetime.now(tz=UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        before = dict(held.get("spec", {})) if held else {}
        mine = held is not None and self._mine(held)
        changes = int(before.get("leaseTransitions") or 0)
        spec = {
            "holderIdentity": self._identity,
            # The Lease counts in whole seconds.
            "leaseDurationSeconds": max(1, round(self._seconds)),
            "acquireTime": before.get("acquireTime", now) if mine else now,
            "renewTime": now,
            "leaseTransitions": changes if mine or held is None else changes + 1,
        }
        metadata = dict(held["metadata"]) if held else {"name": names.OPERATOR, "namespace": self._namespace}
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
