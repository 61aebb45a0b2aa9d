"""What pages tell to type works: it is typed here where that can be, and else it is said why not, or which test types it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pages import ROOT, commands, pages

CHART = "tests/operator/test_chart_on_api_server.py types the install's page, and helm's verbs, on a real API server"
PLUGIN = "tests/operator/test_kubectl_dto.py types the tutorial's on a real API server"
SERVER = "tests/operator/test_crd_on_api_server.py and the tests of the plugin ask a real API server the same"
TROUBLE = "needs a cluster with pods, and with the trouble that the page is about"
TRAINS = "trains, which needs torch; tests/jobs/test_short_pipeline.py does"
NODE = "tests/cluster/test_runs.py does the same on a node; it takes minutes and root"
NOT_HERE = [
    (r"make demo$|make demo-traces", "takes 5 to 15 minutes; tests/jobs/test_short_pipeline.py is short of it"),
    (r"make (test|cluster|bench)\b", "is what runs this test, or takes hours"),
    (r"pip install .* python tests/bench/gpu.py", "needs a GPU"),
    (r"helm (install|upgrade|uninstall|rollback)", CHART),
    (r"kubectl (apply -f|delete crd)", CHART),
    (r"kubectl dto", PLUGIN),
    (r"kubectl --namespace dto apply", NODE),
    (r"kubectl --namespace dto (get|wait|create secret)", SERVER),
    (r"kubectl (port-forward|get|describe|logs|delete|top|auth|run)", TROUBLE),
    (r"export DTO_S3_ENDPOINT|dto .*--store s3://", "tests/jobs/test_bucket_run.py does it on a real MinIO"),
    (r"dto run (my-)?run.yaml( --set .*)?$", TRAINS),
]  # fmt: skip
"""Commands by how they begin, and why they are not typed here. The first that fits counts."""


def why_not(command: str) -> str | None:
    """Return why a command is not typed here."""
    return next((why for begin, why in NOT_HERE if re.match(begin, command)), None)


def typed(page: Path) -> list[str]:
    """Return what is typed here of a page."""
    return [command for command in commands(page) if why_not(command) is None]


PAGES = [page for page in pages() if typed(page)]


@pytest.fixture
def desk(tmp_path) -> Path:
    """A folder with the run files that pages speak of: settings of a scripted engine, which needs no weights."""
    for file, name in (("run.yaml", "my-model-math"), ("my-run.yaml", "my-run")):
        spec = {
            "model": {"source": "builtin:tiny-reasoner"},
            "problems": {"inline": [{"id": str(n), "problem": f"{n} + 5", "answer": str(n + 5)} for n in range(1, 21)]},
            "engine": {"scripted": {}},
            "stages": {"rollout": {"samples": 2}},
            "until": "pairs",
        }
        content = {"apiVersion": "dto.run/v1alpha1", "kind": "DTORun", "metadata": {"name": name}, "spec": spec}
        (tmp_path / file).write_text(json.dumps(content))
    return tmp_path


def test_there_are_commands_to_type():
    assert {"README.md", "docs/tutorials/ml-engineer.md"} <= {page.relative_to(ROOT).as_posix() for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_tells_to_type_works(page, desk):
    (desk / "bin").mkdir()
    dto = desk / "bin/dto"
    dto.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dto_jobs "$@"\n')
    dto.chmod(0o755)
    paths = {"PATH": f"{dto.parent}:{os.environ['PATH']}", "PYTHONPATH": f"{ROOT}/jobs:{ROOT}/operator"}
    for command in typed(page):
        done = subprocess.run(
            ["bash", "-ec", command], check=False, cwd=desk, env={**os.environ, **paths}, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def test_no_reason_is_left_over():
    said = [command for page in pages() for command in commands(page)]
    used = {next((begin for begin, _ in NOT_HERE if re.match(begin, command)), None) for command in said}
    assert {begin for begin, _ in NOT_HERE} - used == set()


def test_tests_that_are_named_in_place_of_typing_are_there():
    named = re.findall(r"tests/[\w/]+\.py", " ".join(why for _, why in NOT_HERE))
    assert named
    assert [name for name in named if not (ROOT / name).is_file()] == []
