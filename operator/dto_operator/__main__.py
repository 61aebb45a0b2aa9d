"""`python -m dto_operator`: the operator, set up by `DTO_OPERATOR_…` variables, until a signal ends it."""

import logging
import sys

from pydantic import ValidationError

from dto_operator.operation import operate
from dto_operator.reconcile import reconcile
from dto_operator.settings import settings_from_environment


def main() -> None:
    """Run the operator."""
    try:
        settings = settings_from_environment()
    except ValidationError as error:
        sys.exit(f"the operator's settings are wrong:\n{error}")
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # Every object that kopf hears of is a line otherwise.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    operate(settings, reconcile)


if __name__ == "__main__":
    main()
