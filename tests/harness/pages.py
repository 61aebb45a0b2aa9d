"""The pages a person reads: their links, their headings, and the commands that they tell to type."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!\\)\[[^\]\n]*\]\(([^)\s]+)\)")
TYPED = {"console", "sh", "bash"}


def pages() -> list[Path]:
    """Return every page of the repository; a text inside a package is the material of one."""
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.md"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    found = (ROOT / name for name in names.stdout.split() if not name.startswith(("jobs/", "operator/")))
    return sorted(path for path in found if path.is_file())


def links(page: Path) -> list[str]:
    """Return where a page's links and images lead; code is no link."""
    text = re.sub(r"`[^`\n]*`", "", BLOCK.sub("", page.read_text()))
    return LINK.findall(text)


def anchors(page: Path) -> set[str]:
    """Return the names by which a page's headings are reached."""
    heads = re.findall(r"^#+ (.+)$", BLOCK.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def commands(page: Path) -> Iterator[str]:
    """Yield what a page tells to type, in order: a prompt's lines in `console`, every line of a shell's block."""
    for kind, text in BLOCK.findall(page.read_text()):
        if kind not in TYPED:
            continue
        lines = re.sub(r"\\\n\s*", "", text).splitlines()
        said = [line.removeprefix("$ ") for line in lines if kind != "console" or line.startswith("$ ")]
        plain = (re.sub(r"\s{2,}#.*$| # .*$", "", line).strip() for line in said)
        yield from (line for line in plain if line and not line.startswith("#"))
