"""Generated pages: the command line and the run file, described from their one source. `make docs` writes them."""

import sys
from importlib import resources
from pathlib import Path

from pydantic import BaseModel

from dto_jobs import errors
from dto_jobs.causes import UnexpectedError
from dto_jobs.cli.app import app
from dto_jobs.cli.command_help import commands_help
from dto_jobs.cli.field_table import HEAD, escaped, rules, table, type_in_words
from dto_jobs.metrics import STAGE_METRICS, metrics_table
from dto_jobs.resource import DTORun
from dto_jobs.surroundings import Surroundings
from dto_jobs.termination import ReceiptNote, Termination


def cli_page() -> str:
    """Return the command line's page: every command's help, and the exit codes."""
    completion = "`dto --install-completion` sets up completion for your shell.\n"
    helps = commands_help(app, "dto_jobs", "dto")
    return HEAD + "# The command line\n\n" + completion + "\n" + helps + "\n## Exit codes\n\n" + exit_codes()


def exit_codes() -> str:
    """Return the table of exit codes; kinds that share a code share a row."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.DtoError)]
    rows: dict[int, type[errors.DtoError]] = {UnexpectedError.exit_code: UnexpectedError}
    for kind in sorted(kinds, key=lambda kind: (kind.exit_code, len(kind.__mro__))):
        rows.setdefault(kind.exit_code, kind)
    table = "".join(f"| {code} | {rows[code].__doc__} | {rows[code].retry} |\n" for code in sorted(rows))
    return f"| code | meaning | tried again |\n|--:|---|---|\n| 0 | Success. | |\n{table}"


def run_file_page() -> str:
    """Return the run file's page: every field with type, default and description, and what must fit together."""
    return (
        HEAD
        + "# The run file\n\nA `DTORun`: `dto run FILE` here, `kubectl apply -f FILE` on a cluster. Both refuse the same mistakes. "
        + "What only a cluster needs (`job`, queues …) is read past here.\n\n"
        + table(DTORun)
        + "\n## What must fit together\n\n"
        + rules(DTORun)
    )


def metrics_page() -> str:
    """Return the page of a stage's metrics."""
    return (
        HEAD
        + "# Metrics\n\nA stage's process shows these at `/metrics` while it lives.\n\n"
        + metrics_table(STAGE_METRICS)
    )


def contract_page() -> str:
    """Return the page of the contract between a stage's process and whoever starts it."""
    variables = "".join(
        f"| `{field.alias}` | {_shown(field.default)} | {escaped(field.description or '')} |\n"
        for field in Surroundings.model_fields.values()
    )
    text = resources.files("dto_jobs").joinpath("cli", "stage-contract.md").read_text(encoding="utf-8").rstrip("\n")
    return HEAD + text.format(
        variables="| variable | default | |\n|---|---|---|\n" + variables,
        codes=exit_codes(),
        words=_message(Termination),
        receipt=_message(ReceiptNote),
    )


def _shown(default: object) -> str:
    return "" if default in {None, ""} else f"`{default}`"


def _message(kind: type[BaseModel]) -> str:
    rows = "".join(
        f"| `{field.alias or name}` | {type_in_words(field.annotation)} | {escaped(field.description or '')} |\n"
        for name, field in kind.model_fields.items()
    )
    return "| field | type | |\n|---|---|---|\n" + rows


PAGES = {
    "docs/cli.md": cli_page,
    "docs/run-file.md": run_file_page,
    "docs/metrics.md": metrics_page,
    "docs/stage-contract.md": contract_page,
}


def main(root: Path) -> None:
    """Write the pages below a folder."""
    for name, page in PAGES.items():
        (root / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
