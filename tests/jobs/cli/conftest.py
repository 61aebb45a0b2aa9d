"""The command in this process, for tests of what a person types."""

import sys

import pytest

from dto_jobs.cli.app import main


@pytest.fixture
def command(capsys, monkeypatch, tmp_path):
    """Runs the command in this process, in an empty folder; returns code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DTO_STORE", str(tmp_path / "store"))

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["dto", *map(str, words)])
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return code, captured.out, captured.err

    return run
