"""The site: built strictly, whole, and fetching nothing from other hosts."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pages import ROOT, pages
from service_process import missing

sys.path.insert(0, str(ROOT / "requirements"))

from site_links import absolute

MKDOCS = ROOT / "build/env-docs/bin/mkdocs"
FETCHED = re.compile(
    r"""<(?:script|img|iframe)[^>]*\ssrc="([^"]+)"|<link[^>]*rel="(?:stylesheet|icon|preconnect)"[^>]*>|url\((?![\x22\x27]?data:)[^)]+\)"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    if not MKDOCS.exists():
        missing("site", "its environment is not there: make site")
    folder = tmp_path_factory.mktemp("site")
    command = [MKDOCS, "build", "--strict", "--quiet", "--config-file", ROOT / ".mkdocs.yml", "--site-dir", folder]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_on_it(site):
    docs = ROOT / "docs"
    wanted = {page.relative_to(docs).with_suffix(".html") for page in pages() if page.is_relative_to(docs)}
    made = {path.relative_to(site) for path in site.rglob("*.html")}
    assert wanted - made == set()


def test_it_fetches_nothing_from_other_hosts(site):
    for path in [*site.rglob("*.html"), *site.rglob("*.css")]:
        fetched = [found[0] for found in FETCHED.finditer(path.read_text())]
        assert [one for one in fetched if "//" in one] == [], path.name


def test_links_that_leave_the_docs_lead_to_the_repository():
    text = (
        "[a](../charts/x.yaml) [b](cli.md#exit-codes) [c](https://e.org) [d](#here) [e](decisions/) ![f](images/r.png)"
    )
    made = absolute(text, "install.md", "https://r")
    assert "[a](https://r/blob/main/charts/x.yaml)" in made
    assert "[e](https://r/blob/main/docs/decisions)" in made
    assert "[b](cli.md#exit-codes) [c](https://e.org) [d](#here)" in made
    assert "![f](images/r.png)" in made
    assert absolute("[g](../../LICENSE)", "tutorials/x.md", "https://r") == "[g](https://r/blob/main/LICENSE)"
