"""What an error comes down to, and whether another try makes sense."""

import pytest

from dto_jobs.causes import told
from dto_jobs.errors import InputError, StoreError


class OutOfMemoryError(RuntimeError):
    """torch's, by its name."""


OOM = OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.\nGPU 0 has …")


@pytest.mark.parametrize(
    ("error", "code", "retry", "words"),
    [
        (InputError("no such file"), 3, "never", "no such file"),
        (StoreError("no space left"), 4, "infrastructure", "no space left"),
        (MemoryError(), 9, "application", "fewer sequences"),
        (OOM, 9, "application", "CUDA out of memory. Tried to allocate 20.00 MiB."),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), 9, "application", "fewer sequences"),
        (ValueError("No available memory for the cache blocks. Try …"), 9, "application", "fewer sequences"),
        (OSError(28, "No space left on device"), 4, "infrastructure", "No space left"),
        (ConnectionResetError("reset"), 4, "infrastructure", "reset"),
        (FileNotFoundError(2, "gone"), 1, "application", "FileNotFoundError"),
        (KeyError("x"), 1, "application", "KeyError"),
    ],
)  # fmt: skip
def test_every_error_has_a_code_a_remedy_and_an_account(error, code, retry, words):
    known = told(error)
    assert (known.exit_code, known.retry) == (code, retry)
    assert words in str(known)


def test_an_error_of_ours_says_where_it_happened():
    def broken():
        raise KeyError("x")

    with pytest.raises(KeyError) as caught:
        broken()
    assert "in broken, test_causes.py:" in str(told(caught.value))
