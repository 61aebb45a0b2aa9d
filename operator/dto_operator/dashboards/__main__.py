"""Write the dashboards' JSON into folders: `make dashboards`."""

import sys
from pathlib import Path

from dto_operator.dashboards.built import DASHBOARDS, text

if __name__ == "__main__":
    for folder in sys.argv[1:]:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for name in DASHBOARDS:
            (Path(folder) / f"{name}.json").write_text(text(name), encoding="utf-8")
