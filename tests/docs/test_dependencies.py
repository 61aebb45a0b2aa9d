"""No library without a reason: docs/dependencies.md names what pyproject.toml does, and nothing else."""

import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "requirements"))

from licences import licence, listed  # noqa: E402 - a program beside the locks, no package

ROW = re.compile(r"^\| `([a-z0-9-]+)` \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
ROWS = {name: rest for name, *rest in ROW.findall((ROOT / "docs/dependencies.md").read_text())}


def named() -> set[str]:
    """Return the libraries that pyproject.toml names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lists = [
        project["build-system"]["requires"],
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
        *project["dependency-groups"].values(),
    ]
    return {re.split(r"[=<>!~\[; ]", one, maxsplit=1)[0].lower() for group in lists for one in group}


def test_every_library_has_a_reason_and_every_reason_a_library():
    assert set(ROWS) == named()


def test_licences_are_what_packages_say_themselves():
    """Of those that are installed here; each environment has others."""
    here = {one.metadata["Name"].lower().replace("_", "-"): one for one in importlib.metadata.distributions()}
    known = sorted(ROWS.keys() & here)
    assert len(known) > 10
    for name in known:
        said = " ".join([licence(here[name]), here[name].metadata.get("License") or ""])
        for word in re.findall(r"MIT|Apache|BSD|MPL", ROWS[name][-1]):
            assert word in said, f"{name} says {said}"


def test_the_list_of_licences_has_what_is_installed():
    rows = {name: (version, said) for name, version, said in listed()}
    assert rows["pydantic"] == (importlib.metadata.version("pydantic"), "MIT")
    assert all(said for _, said in rows.values())
