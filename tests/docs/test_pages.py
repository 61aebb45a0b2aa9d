"""Links of all pages lead somewhere, every page is reached, and what pages say of tests is so."""

import re
from pathlib import Path

import pytest
from pages import ROOT, anchors, links, pages

PAGES = pages()


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_and_images_are_there(page):
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), f"{link} leads nowhere"
        assert target.is_relative_to(ROOT), f"{link} leads out of the repository"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


def test_every_page_of_the_docs_is_linked_from_another():
    linked = {
        (page.parent / link.partition("#")[0]).resolve()
        for page in PAGES
        for link in links(page)
        if not link.startswith("#")
    }
    lost = [named(page) for page in PAGES if page.is_relative_to(ROOT / "docs") and page not in linked]
    # The decisions are linked as a folder.
    assert [page for page in lost if not page.startswith("docs/decisions/")] == ["docs/index.md"]


def test_the_security_page_names_tests_that_there_are():
    found = re.findall(r"`([\w/]+\.py)::(\w+)`", (ROOT / "docs/security.md").read_text())
    assert len(found) > 20
    for file, function in found:
        assert f"def {function}(" in (ROOT / "tests" / file).read_text(), f"{file}::{function}"
