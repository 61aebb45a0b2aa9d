"""What can go wrong for a person, each with the exit code that `dto` ends with (documented in docs/cli.md)."""

from typing import ClassVar, Literal

Retry = Literal["never", "application", "infrastructure"]
"""Whether a stage that ended so is worth another try as it is, and on whose account: its own, which is small, or the machines'."""


class DtoError(Exception):
    """Something a person can act on: what is wrong, where, and what to do."""

    exit_code: ClassVar[int] = 1
    retry: ClassVar[Retry] = "never"


class InvalidRunError(DtoError):
    """The run file is not a valid DTORun."""

    exit_code = 2


class InputError(DtoError):
    """A problem set, trace file or model that the run names cannot be used."""

    exit_code = 3


class StoreError(DtoError):
    """The artifact store cannot be read or written, or what it holds is damaged."""

    exit_code = 4
    retry = "infrastructure"


class RunConflictError(DtoError):
    """The run exists with other settings, or another process is at it."""

    exit_code = 5


class StageFailedError(DtoError):
    """A stage could not be finished; what it had committed stays."""

    exit_code = 6


class MissingExtraError(DtoError):
    """The run needs a library that is not installed here."""

    exit_code = 7


class EndpointError(DtoError):
    """A served model gives no answers that can be used: it is out of reach, or stayed busy or broken."""

    exit_code = 8
    retry = "infrastructure"


class UnreachableEndpointError(EndpointError):
    """Nothing answered at a served model's address."""


class UnauthorizedEndpointError(InputError):
    """A served model refused the API key, or asks for one."""


class UnknownModelError(InputError):
    """An endpoint does not serve the model that the run names."""


class RefusedRequestError(InputError):
    """A served model refused what was asked, for good."""


class OutOfMemoryError(DtoError):
    """The machine's or the GPU's memory did not suffice; what was committed stays."""

    exit_code = 9
    retry = "application"


class LostNodeError(DtoError):
    """A training over several machines lost one of them; it goes on from its last checkpoint."""

    exit_code = 10
    retry = "infrastructure"


class PrometheusError(DtoError):
    """A Prometheus gives no answers that can be used: it is out of reach, is something else, or refuses a query."""

    exit_code = 8
    retry = "infrastructure"


class InterruptedRunError(DtoError):
    """A person stopped the run; what was committed stays."""

    exit_code = 130


class StoppedStageError(InterruptedRunError):
    """A stage was asked to end (SIGTERM), kept what was finished, and goes on from there when started again: no failure."""

    exit_code = 75
    retry = "infrastructure"
