from pathlib import Path

import pytest

from dto_jobs.cli.reference import PAGES

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("page", PAGES)
def test_a_generated_page_follows_its_source(page):
    assert (ROOT / page).read_text() == PAGES[page](), "run `make docs`"
