"""`kubectl`, asked by the plugin: the caller's own kubeconfig, context and rights, whatever way they sign in.

What comes back is JSON or an error that a person can act on; no traceback and nothing of a Secret is ever shown.
"""

import base64
import binascii
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dto_jobs.errors import DtoError, InputError, InvalidRunError, MissingExtraError
from dto_operator.crd import GROUP, PLURAL

RESOURCE = f"{PLURAL}.{GROUP}"
UNREACHABLE = (
    "unable to connect",
    "connection refused",
    "was refused",
    "i/o timeout",
    "no such host",
    "current-context",
)
INVALID = ("is invalid", "strict decoding error", "error validating", "unknown field", "(BadRequest)")
Held = dict[str, Any]


class ApiServerError(DtoError):
    """The API server cannot be reached, or allows the caller less than the command needs."""

    exit_code = 11


@dataclass(frozen=True)
class Kubectl:
    """The API server, as the caller's `kubectl` speaks with it."""

    namespace: str | None = None
    context: str | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def runs(self) -> list[Held]:
        """Return the runs of the namespace."""
        return list(self._json("get", RESOURCE)["items"])

    def run(self, name: str) -> Held:
        """Return a run; InputError names those that there are."""
        try:
            return self._json("get", RESOURCE, name)
        except _MissingObjectError as error:
            known = ", ".join(run["metadata"]["name"] for run in self.runs()) or "none"
            raise InputError(f"there is no run {name!r} in this namespace; there are: {known}") from error

    def apply(self, file: Path) -> Held:
        """Create what a file holds, or change it to that; return it as it is held then."""
        return self._json("apply", "-f", str(file))

    def change(self, name: str, patch: Held) -> None:
        """Merge a patch into a run."""
        self._text("patch", RESOURCE, name, "--type=merge", f"--patch={json.dumps(patch)}")

    def pods(self, selector: str) -> list[Held]:
        """Return the pods with these labels."""
        return list(self._json("get", "pods", f"--selector={selector}")["items"])

    def secret(self, name: str) -> dict[str, str]:
        """Return what a Secret holds; InputError where there is none."""
        try:
            held = self._json("get", "secret", name).get("data") or {}
            return {key: base64.b64decode(value).decode() for key, value in held.items()}
        except _MissingObjectError as error:
            raise InputError(f"there is no Secret {name!r} in this namespace, which the run names") from error
        except (binascii.Error, UnicodeDecodeError) as error:
            raise InputError(f"the Secret {name!r} holds a key that is no text") from error

    def show_logs(self, arguments: list[str]) -> int:
        """Pass `kubectl logs` through to the terminal and return its exit code."""
        return subprocess.run(self._command("logs", *arguments), check=False, env=dict(self.environment)).returncode  # noqa: S603 - the caller's own kubectl

    def _json(self, *arguments: str) -> Held:
        held: Held = json.loads(self._text(*arguments, "--output=json"))
        return held

    def _text(self, *arguments: str) -> str:
        done = subprocess.run(  # noqa: S603 - the caller's own kubectl
            self._command(*arguments), check=False, capture_output=True, text=True, env=dict(self.environment)
        )
        if done.returncode != 0:
            raise _error(done.stderr)
        return done.stdout

    def _command(self, *arguments: str) -> list[str]:
        found = shutil.which("kubectl", path=self.environment.get("PATH"))
        if found is None:
            raise MissingExtraError("kubectl is not on the PATH; install it, since this command speaks through it")
        chosen = {"--namespace": self.namespace, "--context": self.context}
        return [found, *arguments, *(f"{option}={value}" for option, value in chosen.items() if value)]


class _MissingObjectError(InputError):
    """404 for an object."""


def _error(said: str) -> DtoError:
    """Return what kubectl said, as an error with its remedy."""
    text = " ".join(said.split()).removeprefix("Error from server ").removeprefix("error: ")
    kinds: list[tuple[Callable[[str], bool], Callable[[str], DtoError]]] = [
        (
            lambda low: "doesn't have a resource type" in low or "no matches for kind" in low,
            lambda text: ApiServerError(f"this cluster does not know DTORuns; install the operator first: {text}"),
        ),
        (lambda low: "(notfound)" in low, _MissingObjectError),
        (
            lambda low: "(forbidden)" in low,
            lambda text: ApiServerError(f"{text}; ask for the right, or name --namespace"),
        ),
        (
            lambda low: any(word in low for word in UNREACHABLE),
            lambda text: ApiServerError(f"{text}; check $KUBECONFIG and --context: kubectl cluster-info"),
        ),
        (lambda low: any(word.lower() in low for word in INVALID), InvalidRunError),
    ]
    low = said.lower()
    return next((made(text) for fits, made in kinds if fits(low)), ApiServerError(text))
