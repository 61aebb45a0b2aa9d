"""How far pods at work are: asked of themselves, so that they need no right on the cluster and it hears nothing of it."""

import json
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import urllib3

from dto_operator.observation import Amount
from dto_operator.sightings import Held, Sightings, run_uid

log = logging.getLogger(__name__)

ASKED_AT_ONCE = 8
TIMEOUT = urllib3.Timeout(connect=1.0, read=2.0)
LONGEST_ANSWER = 4096


class ProgressReader:
    """Asks every running pod how far it is, in turns."""

    def __init__(
        self, sightings: Sightings, port: int, amounts: dict[str, Amount], moved: Callable[[str], None]
    ) -> None:
        self._sightings, self._port, self._amounts, self._moved = sightings, port, amounts, moved
        self._pool = urllib3.PoolManager(num_pools=ASKED_AT_ONCE, maxsize=ASKED_AT_ONCE, retries=False, timeout=TIMEOUT)

    def keep(self, stopped: threading.Event, seconds: float) -> None:
        """Go round every so many seconds until stopped."""
        with ThreadPoolExecutor(ASKED_AT_ONCE, thread_name_prefix="progress") as pool:
            while not stopped.wait(seconds):
                self.round(pool)

    def round(self, pool: ThreadPoolExecutor) -> None:
        """Ask every running pod once, and have the runs looked at whose pods went on."""
        pods = {pod["metadata"]["name"]: pod for pod in self._sightings.pods() if _address(pod)}
        found = dict(zip(pods, pool.map(self._ask, pods.values()), strict=True))
        moved = set()
        for name, amount in found.items():
            if amount is not None and self._amounts.get(name) != amount:
                self._amounts[name] = amount
                moved.add(run_uid("Pod", pods[name]))
        for name in set(self._amounts) - set(pods):
            self._amounts.pop(name, None)
        for run in moved:
            self._moved(run)

    def _ask(self, pod: Held) -> Amount | None:
        host = _address(pod) or ""
        url = f"http://{f'[{host}]' if ':' in host else host}:{self._port}/healthz"
        try:
            answer = self._pool.request("GET", url, redirect=False, preload_content=False)
            text = answer.read(LONGEST_ANSWER)
            answer.drain_conn()
            answer.release_conn()
        except (urllib3.exceptions.HTTPError, OSError):
            # It may be starting or ending; nothing is known then, and nothing is lost.
            return None
        return _amount(text) if answer.status == 200 else None


def _amount(text: bytes) -> Amount | None:
    """Return what a pod said; None where it does not know yet, or says something else."""
    try:
        told: Any = json.loads(text)
        done, inputs = told["done"], told["inputs"]
    except (ValueError, KeyError, TypeError):
        return None
    known = isinstance(done, int) and isinstance(inputs, int) and 0 <= done <= inputs
    return (done, inputs) if known else None


def _address(pod: Held) -> str | None:
    status = pod.get("status", {})
    deleting = "deletionTimestamp" in pod["metadata"]
    return status.get("podIP") if status.get("phase") == "Running" and not deleting else None
