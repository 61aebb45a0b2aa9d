"""Options and arguments that commands share, each with its help."""

from pathlib import Path
from typing import Annotated

import typer

File = Annotated[Path, typer.Argument(help="Run file: a DTORun in YAML.", metavar="FILE")]
StoreAddress = Annotated[
    str | None,
    typer.Option(
        "--store",
        help="Folder or s3://bucket/prefix for artifacts (default: the run file's, $DTO_STORE, or ./dto-store). "
        "S3 is reached by $DTO_S3_ENDPOINT with $AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY.",
        metavar="STORE",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Set a value of the run file: path=value. May be repeated.", metavar="PATH=VALUE"),
]
Until = Annotated[str | None, typer.Option("--until", help="Last stage to run.", metavar="STAGE")]
FreshFrom = Annotated[
    str | None, typer.Option("--from", help="Compute this stage and all after it anew.", metavar="STAGE")
]
PlanName = Annotated[
    str | None,
    typer.Option(
        "--plan",
        help="The plan: a file, or store:NAME for one in the store, such as store:runs/my-run/plan.json (default: $DTO_PLAN).",
        metavar="PLAN",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Assume = Annotated[
    list[str] | None,
    typer.Option(
        "--assume",
        help="With --estimate: a habit of the model (response=5000), the machine (peak_tflops=989, mfu=0.35, "
        "tokens_per_second=9000), config=FILE in place of the model's own, or pilot=RUN (none for none). "
        "May be repeated.",
        metavar="NAME=VALUE",
    ),
]
Estimate = Annotated[
    bool, typer.Option("--estimate", help="Say what the run would take: tokens, FLOPs, GPU-hours and disk by stage.")
]
