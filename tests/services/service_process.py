"""Processes of real services that end with the tests."""

import functools
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[1] / "tools"
PATIENCE = 180
"""Seconds for a service to get ready on a very busy machine; a service that has ended is noticed at once."""


@functools.cache
def built(tool: str) -> Path:
    """Return the folder with a tool's binaries; build it first, wait where another test run is building it."""
    if shutil.which("go") is None:
        missing("services", "Go is not installed, and MinIO and toxiproxy are built from Go modules")
    done = subprocess.run([TOOLS / "build.sh", tool], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.fail(f"{tool} could not be built:\n{done.stderr[-2000:]}")
    return Path(done.stdout.strip())


def missing(tier: str, why: str) -> None:
    """Skip what cannot run on this machine; with CI=true that is a failure."""
    words = f"NOT RUN: {tier}: {why}"
    if os.environ.get("CI") == "true":
        pytest.fail(words)
    pytest.skip(words)


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Service:
    """A process that is ready, and that the kernel ends with the tests, however they end."""

    def __init__(self, command: list[str | Path], ready: Callable[[], bool], log: Path, **environment: str) -> None:
        self._command = ["setpriv", "--pdeathsig", "KILL", "--", *map(str, command)]
        self._ready = ready
        self._log = log
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it is ready; RuntimeError where it ends before that.

        To be called in the main thread: the kernel ends the service with the thread that started it.
        """
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        end = time.monotonic() + PATIENCE
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > end:
                self.kill()
                raise RuntimeError(f"{self._command[4]} is not ready: {self._log.read_text()[-2000:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """Stop it, so that it neither answers nor closes its connections."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)
