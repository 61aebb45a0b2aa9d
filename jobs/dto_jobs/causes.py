"""What befell a process, told as an error that a person, and whoever decides about another try, can act on."""

import traceback

from dto_jobs.errors import DtoError, OutOfMemoryError, StoreError

# What torch and vLLM say where the memory of a machine without a GPU, or a GPU's, does not suffice.
WORDS = ("can't allocate memory", "CUDA out of memory", "No available memory for the cache blocks")
REMEDY = (
    "Have fewer sequences run at once (spec.engine), shorten stages.*.maxTokens, or give the stage more memory; "
    "what was committed is kept"
)


class UnexpectedError(DtoError):
    """An error of ours: please report it."""

    exit_code = 1
    retry = "application"


def told(error: BaseException) -> DtoError:
    """Return the error itself where a person can act on it, else the one that says what it comes down to."""
    if isinstance(error, DtoError):
        return error
    if isinstance(error, MemoryError):
        return OutOfMemoryError(f"this machine's memory did not suffice{_place(error)}. {REMEDY}")
    # torch's own class, known by its name: whoever runs without torch need not import it to be told.
    named = {kind.__name__ for kind in type(error).__mro__}
    if "OutOfMemoryError" in named or any(word in str(error) for word in WORDS):
        first = str(error).strip().splitlines()[0] if str(error).strip() else "no more is said"
        return OutOfMemoryError(f"out of memory: {first}. {REMEDY}")
    if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
        return StoreError(f"this machine's disk or network: {error}")
    return UnexpectedError(f"{type(error).__name__}: {error}{_place(error)}")


def _place(error: BaseException) -> str:
    """Return where it happened, in words."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" (in {frames[-1].name}, {frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno})" if frames else ""
