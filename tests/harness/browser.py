"""A headless Chromium that opens pages: what they come to, what they complain of, and how they look."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NARROWEST = 500
"""Narrower windows are not to be had; a frame in one is."""


@dataclass(frozen=True)
class Browser:
    """Opens pages, whose files are in a folder."""

    folder: Path

    def open(self, page: str, *options: str) -> tuple[str, list[str]]:
        """Return the document as the browser holds it, and what was written to its console."""
        done = self._run(page, "--enable-logging=stderr", "--v=0", *options, "--dump-dom")
        return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]

    def fits(self, page: str, width: int) -> bool:
        """Tell whether a page in a window of this width can be read without scrolling sideways."""
        wide, window, _ = self._measured(page, width)
        return wide <= window <= width

    def height(self, page: str, width: int) -> int:
        """Return how high a page of this width is."""
        return self._measured(page, width)[2]

    def _measured(self, page: str, width: int) -> tuple[int, int, int]:
        (self.folder / "inner.html").write_text(page, encoding="utf-8")
        frame = f"""<iframe src="inner.html" width="{width}" height="800" style="border:0"></iframe><p id="found"></p>
        <script>onload = () => {{
          const page = document.querySelector("iframe").contentDocument.documentElement;
          document.querySelector("#found").textContent = `page ${{page.scrollWidth}} in ${{page.clientWidth}} by ${{page.scrollHeight}}`;
        }}</script>"""
        document, console = self.open(frame, "--allow-file-access-from-files", "--window-size=1600,900")
        assert console == []
        [found] = re.findall(r"page (\d+) in (\d+) by (\d+)", document)
        wide, window, height = map(int, found)
        return wide, window, height

    def draw(self, page: str, picture: Path, width: int, *, dark: bool = False) -> None:
        """Write how a whole page looks as a PNG."""
        shown, height = page, self.height(page, width)
        if width < NARROWEST:
            (self.folder / "inner.html").write_text(page, encoding="utf-8")
            style = f"border:0;position:absolute;left:0;top:0;width:{width}px;height:{height}px"
            shown = f'<body style="margin:0"><iframe src="inner.html" style="{style}"></iframe>'
        scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
        size = f"--window-size={width},{height}"
        self._run(shown, "--hide-scrollbars", size, scheme, f"--screenshot={picture}")

    def _run(self, page: str, *options: str) -> subprocess.CompletedProcess[str]:
        assert CHROMIUM is not None, "CI must have Chromium"
        file = self.folder / "page.html"
        file.write_text(page, encoding="utf-8")
        command = [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={self.folder / 'profile'}",
        ]
        return subprocess.run(
            [*command, *options, file.as_uri()], capture_output=True, text=True, check=True, timeout=120
        )


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    """Open pages in Chromium; without one the test is skipped, with CI=true it fails."""
    if CHROMIUM is None and not os.environ.get("CI"):
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    return Browser(tmp_path)
