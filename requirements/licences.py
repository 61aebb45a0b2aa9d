"""Lists what is installed in the environment that runs this, with versions and licences, as the packages say themselves."""

import sys
from importlib.metadata import Distribution, distributions


def licence(found: Distribution) -> str:
    """Return a package's licence in its own words: SPDX expression, else classifiers, else the first line of its text."""
    metadata = found.metadata
    expression = metadata.get("License-Expression")
    named = [text.rpartition("::")[2].strip() for text in metadata.get_all("Classifier") or [] if "License ::" in text]
    text = (metadata.get("License") or "").strip().splitlines()
    return expression or ", ".join(named) or (text[0] if text else "not said")


def listed() -> list[tuple[str, str, str]]:
    """Return name, version and licence of every package, by name."""
    found = {one.metadata["Name"].lower(): one for one in distributions()}
    return [(name, found[name].version, licence(found[name])) for name in sorted(found)]


if __name__ == "__main__":
    sys.stdout.writelines("\t".join(row) + "\n" for row in listed())
