"""A release: the same bytes from the same commit, wherever it is made, and in them what is said."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from pages import ROOT
from service_process import built

pytestmark = pytest.mark.services
SCRIPT = "requirements/release.sh"
TOOLS = Path(sys.executable).parent


def released(source: Path, folder: Path, **environment: str) -> Path:
    """Make a release of a folder with the source."""
    command = [source / SCRIPT, folder, TOOLS, built("helm") / "helm"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def release(tmp_path_factory) -> Path:
    return released(ROOT, tmp_path_factory.mktemp("release"))


def test_another_place_time_and_person_make_the_same_bytes(release, tmp_path):
    copy = tmp_path / "elsewhere"
    files = ["git", "ls-files", "-co", "--exclude-standard"]
    for name in subprocess.run(files, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines():
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            # As a checkout does: without the times of the original.
            shutil.copy(ROOT / name, copy / name)
            (copy / name).chmod((copy / name).stat().st_mode & 0o700 | 0o040)
    seconds = ["git", "log", "-1", "--format=%ct"]
    commit = subprocess.run(seconds, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
    again = released(copy, tmp_path / "again", SOURCE_DATE_EPOCH=commit, TZ="Pacific/Auckland", HOME=str(tmp_path))
    assert (again / "SHA256SUMS").read_text() == (release / "SHA256SUMS").read_text()


def test_checksums_are_those_of_all_files(release):
    done = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], check=False, cwd=release)
    assert done.returncode == 0
    named = {line.split()[1] for line in (release / "SHA256SUMS").read_text().splitlines()}
    assert named == {path.name for path in release.iterdir()} - {"SHA256SUMS"}


def test_the_wheel_holds_both_packages_and_their_commands(release):
    (wheel,) = release.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
        (commands,) = (packed.read(name).decode() for name in names if name.endswith("entry_points.txt"))
    assert {name.split("/")[0] for name in names if name.endswith("__init__.py")} == {"dto_jobs", "dto_operator"}
    assert "kubectl-dto = dto_operator.plugin.__main__:main" in commands
    assert "dto_jobs/demo/tiny-reasoner/model.safetensors" in names


def test_the_sdist_holds_what_it_takes_to_build_and_test(release):
    (sdist,) = release.glob("dto_operator-*.tar.gz")
    with tarfile.open(sdist) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "tests/conftest.py", "charts/dto-operator/Chart.yaml"} <= names
    assert not any(name.startswith("build/") for name in names)


def test_helm_takes_the_chart(release):
    (chart,) = release.glob("dto-operator-*.tgz")
    shown = subprocess.run(
        [built("helm") / "helm", "template", "x", chart], check=False, capture_output=True, text=True
    )
    assert shown.returncode == 0, shown.stderr
    assert "kind: Deployment" in shown.stdout


@pytest.mark.parametrize("environment", ["operator", "jobs", "jobs-cpu"])
def test_a_bill_of_materials_names_what_the_lock_does_with_its_hashes(release, environment):
    (file,) = release.glob(f"dto-operator-[0-9]*[0-9]-{environment}.cdx.json")
    bill = json.loads(file.read_text())
    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == ("CycloneDX", "dto-operator")
    lock = (ROOT / f"requirements/{environment}.txt").read_text()
    pinned = set(re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^ ;\\]+)", lock, re.MULTILINE))
    assert len(pinned) > 30
    assert {(part["name"], part["version"]) for part in bill["components"]} == pinned
    for part in bill["components"]:
        assert part["purl"].startswith("pkg:pypi/")
        assert any(one.get("hashes") for one in part["externalReferences"]), part["name"]
