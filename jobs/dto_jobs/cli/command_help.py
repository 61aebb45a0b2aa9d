"""The help of a command line's commands, as a page shows it."""

import os
import subprocess
import sys

import typer


def commands_help(commands: typer.Typer, module: str, shown: str) -> str:
    """Return the help of every command, each in a section; `shown` is what a person types for `python -m module`."""
    names = [found.name or found.callback.__name__ for found in commands.registered_commands if found.callback]
    return "\n".join(f"## {shown} {name}\n\n```text\n{_help(module, shown, name)}\n```\n" for name in names)


def _help(module: str, shown: str, command: str) -> str:
    """Return a command's help as anyone sees it in a terminal of 100 columns."""
    words = [sys.executable, "-m", module, command, "--help"]
    plain = {**os.environ, "TERMINAL_WIDTH": "100", "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    text = subprocess.run(words, check=True, capture_output=True, text=True, env=plain).stdout  # noqa: S603 - ourselves
    return "\n".join(line.rstrip() for line in text.replace(f"python -m {module}", shown).strip("\n").splitlines())
