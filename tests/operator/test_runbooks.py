"""The commands of the runbooks, as far as an API server without nodes can answer them: a real shell and a real kubectl run them."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from service_process import built
from stored_runs import MINIMAL, manifest

pytestmark = pytest.mark.services
PAGES = sorted((Path(__file__).parents[2] / "docs/runbooks").glob("*.md"))
PLACES = {"NAMESPACE": "default", "STAGE": "rollout", "OTHER": "looked-at", "RUN": "looked-at", "HOURS": "2"}
SILENT = {"annotate", "dto", "logs", "port-forward", "run", "top", "rollout"}
"""What needs a pod, a node's metrics, or a plugin that has tests of its own."""
NOT_HERE = ("workloads", "podmonitors", "delete pod", "delete lease")
"""What needs Kueue, the Prometheus operator, or a thing to delete."""


def commands(text):
    """Return each command of kubectl, in blocks and within sentences."""
    blocks = re.findall(r"^```sh\n(.*?)```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [*lines, *re.findall(r"`(kubectl [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))]


def runs_here(command):
    return shlex.split(command)[1] not in SILENT and not any(word in command for word in NOT_HERE)


HERE = [
    pytest.param(line, id=f"{page.stem}: {line}")
    for page in PAGES
    for line in commands(page.read_text())
    if runs_here(line)
]


@pytest.fixture(scope="module")
def shell(runs):
    """Run a line as a person would, signed in as the administrator."""
    runs.created(manifest(MINIMAL, "looked-at"))
    runs.server.admin.ask(
        "POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "dto"}}
    )
    kubectl = built("kubernetes/kubectl")
    surroundings = {**os.environ, "PATH": f"{kubectl}:{os.environ['PATH']}", "KUBECONFIG": str(runs.server.kubeconfig)}

    def run(line):
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", line], check=False, capture_output=True, text=True, env=surroundings
        )

    return run


@pytest.mark.parametrize("line", HERE)
def test_a_command_is_understood(shell, line):
    # What is picked out of the answer is not there: there are no pods and no nodes.
    asked = line.partition(" | ")[0]
    done = shell(re.sub("|".join(rf"\b{word}\b" for word in PLACES), lambda found: PLACES[found[0]], asked))
    if " can-i " in line:
        assert done.stdout.strip() in {"yes", "no"}, done.stderr
    else:
        assert done.returncode == 0, done.stderr


def test_most_commands_are_tried():
    assert len(HERE) > 25
