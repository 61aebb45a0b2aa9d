"""A real OpenAI-compatible server: vLLM's, on the CPU, for as long as tests need it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

# A server must not outlive tests that were killed: the kernel ends it with its parent (PR_SET_PDEATHSIG).
_ORPHANED = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 15); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)
LOOKS_EVERY = 0.25


@contextmanager
def vllm_server(model: Path, name: str, log: Path, context: int = 2048) -> Iterator[str]:
    """Serve a model's folder under a name; yields the URL of the interface once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {
        "--model": model,
        "--served-model-name": name,
        "--host": "127.0.0.1",
        "--port": port,
        "--dtype": "float32",
        "--block-size": 32,
        "--max-model-len": context,
        # Seeded requests whose prompts are computed in pieces kill the CPU engine: make room for all prompts at once.
        "--max-num-batched-tokens": 16 * context,
        "--max-num-seqs": 16,
    }
    flags = ["--enforce-eager", "--enable-prompt-tokens-details", "--disable-uvicorn-access-log"]
    command = [str(word) for option in options.items() for word in option]
    environment = {
        **os.environ,
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "OMP_NUM_THREADS": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-c", _ORPHANED, "-m", "vllm.entrypoints.openai.api_server", *command, *flags],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    try:
        _wait(server, f"http://127.0.0.1:{port}/health", log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            pass
        finally:
            # Whatever it started and left behind.
            os.killpg(server.pid, signal.SIGKILL) if server.poll() is None else None
            server.wait()


def _wait(server: "subprocess.Popen[bytes]", health: str, log: Path) -> None:
    """Wait until the server answers, however slow the machine is; AssertionError with its last words where it ends instead."""
    while True:
        try:
            server.wait(LOOKS_EVERY)
        except subprocess.TimeoutExpired:
            pass
        else:
            raise AssertionError(f"the server ended with {server.returncode}:\n{log.read_text()[-3000:]}")
        try:
            with urlopen(health, timeout=10) as answer:
                assert answer.status == 200
                return
        except (URLError, ConnectionError, TimeoutError):
            continue
