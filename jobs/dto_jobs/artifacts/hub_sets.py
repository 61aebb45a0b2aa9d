"""Problem sets as the Hugging Face hub keeps them: on the hub, or as a folder of such files on this machine.

Both are read by the `datasets` library in the same way, so what works with a downloaded folder works with the hub. Code that
comes with a set is never run (the library cannot any more).
"""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from dto_jobs.artifacts.rows import Row
from dto_jobs.errors import InputError, MissingExtraError

HUB = "hf://datasets/"
FORM = f"{HUB}org/name@revision?split=test&config=main"


class HubSet(NamedTuple):
    """Where a set is, and which of its rows are meant."""

    address: str
    """As a person wrote it."""
    path: str
    """`org/name` on the hub, or an absolute path on this machine."""
    revision: str | None = None
    config: str | None = None
    split: str | None = None


def hub_set(address: str, folder: Path) -> HubSet | None:
    """Return the set that an address names; None where it names none, but a file or nothing at all."""
    path, _, query = address.partition("?")
    if path.startswith(HUB):
        name, _, revision = path.removeprefix(HUB).partition("@")
        if name.count("/") != 1 or not all(name.split("/")):
            raise InputError(f"{address}: a set on the hub is named {FORM}")
        return HubSet(address, name, revision or None, **_query(address, query))
    local = folder / Path(path.removeprefix("file://").removeprefix("file:")).expanduser()
    if local.is_dir():
        return HubSet(address, str(local.absolute()), None, **_query(address, query))
    return None


def _query(address: str, query: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(options.keys() - {"split", "config"})
    if unknown or not all(options.values()):
        raise InputError(f"{address}: after the question mark write split= and config=, for example {FORM}")
    return options


def hub_rows(place: HubSet) -> Iterator[Row]:
    """Yield the rows of a set; InputError for what cannot be reached or read, with what to do about it."""
    if find_spec("datasets") is None:
        raise MissingExtraError(
            f"{place.address}: reading it needs the library datasets; install it with: pip install 'dto-operator[train]'"
        )
    for number, columns in enumerate(_loaded(place), start=1):
        yield Row(f"{place.address} row {number}", number, columns)


def _loaded(place: HubSet) -> Any:  # noqa: ANN401 - datasets is untyped
    # Imported here: it takes a second, which no other source needs.
    import datasets  # noqa: PLC0415 - as said above
    from huggingface_hub.utils import logging  # noqa: PLC0415 - as said above

    datasets.disable_progress_bars()
    # They log every retry and every error before it is raised; the error at the end says it all.
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    logging.set_verbosity_error()
    try:
        split = place.split or _only_split(place, datasets.get_dataset_split_names)
        return datasets.load_dataset(place.path, place.config, split=split, revision=place.revision)
    except InputError:
        raise
    except (ConnectionError, datasets.exceptions.DatasetNotFoundError) as error:
        raise InputError(
            f"{place.address} cannot be reached, and is not in the hub's cache on this machine: {_first_line(error)}; check "
            "name and network (HF_TOKEN for a gated set), or download the set elsewhere and name its folder"
        ) from error
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise InputError(f"{place.address} cannot be read: {_cause(error)}") from error


def _only_split(place: HubSet, splits: Any) -> str:  # noqa: ANN401 - datasets is untyped
    names = splits(place.path, place.config, revision=place.revision)
    if len(names) != 1:
        raise InputError(f"{place.address} has the splits {', '.join(names)}: name one with ?split={names[-1]}")
    return str(names[0])


def _cause(error: BaseException) -> str:
    """Return the innermost reason, and how to name a configuration where one is missing."""
    text = _first_line(error)
    if text.startswith("Config name is missing"):
        return f"{' '.join(str(error).split('Example of usage')[0].split())} Write it as ?config="
    return f"{text}: {_first_line(error.__cause__)}" if error.__cause__ else text


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
