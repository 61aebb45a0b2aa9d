"""docs/values.md: what the chart lets people choose, from the comments of its values.yaml. `make docs` writes it."""

import json
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from dto_jobs.cli.field_table import HEAD

OPENING = """# Values of the chart

`helm show values charts/dto-operator` prints them; names and kinds that are not here are refused. [How to install](install.md).

| value | default | |
|---|---|---|
"""

KEY = re.compile(r"^(?P<indent> *)(?P<name>[A-Za-z]\w*):")


class UndescribedValueError(Exception):
    """A value of values.yaml has no comment above it."""


class Value(NamedTuple):
    """One value: its path, what the comment above it says, and its default, which a group of values has not."""

    path: str
    text: str
    default: str


def values(text: str) -> list[Value]:
    """Return the values that a values.yaml documents, in its order.

    A key right below a comment is a value; deeper keys without one belong to its default.
    """
    described = _described(text)
    groups = {path[:-1] for path in described}
    everything = yaml.safe_load(text)
    return [
        Value(".".join(path), words, "" if path in groups else json.dumps(_at(everything, path), ensure_ascii=False))
        for path, words in described.items()
    ]


def _described(text: str) -> dict[tuple[str, ...], str]:
    found: dict[tuple[str, ...], str] = {}
    path: tuple[str, ...] = ()
    words: list[str] = []
    for line in text.splitlines():
        key = KEY.match(line)
        depth = len(key["indent"]) // 2 if key else len(path)
        if key and words:
            path = (*path[:depth], key["name"])
            found[path] = " ".join(words)
        elif depth < len(path):
            raise UndescribedValueError(f"no comment stands above `{line.strip()}`: say what it is for")
        comment = line.lstrip().startswith("#")
        words = [*words, line.lstrip("# ").rstrip()] if comment else []
    return found


def _at(node: Any, path: tuple[str, ...]) -> Any:  # noqa: ANN401 - any node of YAML
    for name in path:
        node = node[name]
    return node


def page(text: str) -> str:
    """Return the page of a values.yaml."""
    rows = "".join(
        f"| `{value.path}` | {value.default and f'`{value.default}`'} | {value.text} |\n" for value in values(text)
    )
    return HEAD + OPENING + rows


if __name__ == "__main__":
    source, target = sys.argv[1:]
    Path(target).write_text(page(Path(source).read_text(encoding="utf-8")), encoding="utf-8")
