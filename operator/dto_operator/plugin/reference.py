"""docs/kubectl-dto.md: the plugin's commands. `make docs` writes it."""

import sys
from pathlib import Path

from dto_jobs.causes import UnexpectedError
from dto_jobs.cli.command_help import commands_help
from dto_jobs.cli.field_table import HEAD
from dto_jobs.errors import DtoError, InputError, InvalidRunError, MissingExtraError, StoreError
from dto_operator.plugin.app import app
from dto_operator.plugin.kubectl import ApiServerError

OPENING = """# kubectl dto

`kubectl` finds the command `kubectl-dto`, which comes with the package: `pip install dto-operator`, and `'dto-operator[jobs]'` for
`report` and `inspect`, which read the bucket. It speaks through the `kubectl` on your PATH, with your kubeconfig and your rights; it needs
none but `get`, `create` and `patch` on DTORuns, `get` on pods and their logs, and, for `report` and `inspect`, the bucket's keys.

"""
KINDS: tuple[type[DtoError], ...] = (
    UnexpectedError,
    InvalidRunError,
    InputError,
    StoreError,
    MissingExtraError,
    ApiServerError,
)


def page() -> str:
    """Return the page."""
    codes = "".join(f"| {kind.exit_code} | {' '.join((kind.__doc__ or '').split())} |\n" for kind in KINDS)
    return (
        HEAD
        + OPENING
        + commands_help(app, "dto_operator.plugin", "kubectl dto")
        + f"\n## Exit codes\n\n| code | meaning |\n|--:|---|\n| 0 | Success. |\n{codes}"
    )


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
