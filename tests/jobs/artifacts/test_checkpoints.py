"""Checkpoints that outlive the machine they were made on."""

import shutil

import pytest

from dto_jobs.artifacts.artifact import Artifact
from dto_jobs.artifacts.checkpoints import Checkpoints
from dto_jobs.artifacts.folder import FolderStore


@pytest.fixture
def artifact(tmp_path):
    return Artifact(FolderStore(tmp_path / "store"), "runs/r/training/1")


def checkpoint(workspace, step, *, whole=True):
    folder = workspace / f"checkpoint-{step}"
    (folder / "nested").mkdir(parents=True)
    (folder / "nested" / "weights").write_text(f"weights of step {step}")
    if whole:
        (folder / "trainer_state.json").write_text(f'{{"step": {step}}}')


def steps(workspace):
    return sorted(path.name for path in workspace.glob("checkpoint-*"))


def test_the_last_whole_checkpoint_is_found_on_another_machine(artifact, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    there.mkdir()
    for step in (3, 20):
        checkpoint(here, step)
    checkpoint(here, 30, whole=False)
    Checkpoints(artifact, here).keep()
    Checkpoints(artifact, there).restore()
    assert steps(there) == ["checkpoint-20"]
    assert (there / "checkpoint-20/nested/weights").read_text() == "weights of step 20"
    assert (there / "checkpoint-20/trainer_state.json").exists()


def test_only_the_last_is_kept_and_each_is_kept_once(artifact, tmp_path):
    kept = Checkpoints(artifact, tmp_path / "here")
    checkpoint(tmp_path / "here", 1)
    kept.keep()
    written = {name: (tmp_path / "store" / name).stat().st_mtime_ns for name in artifact.store.names("")}
    kept.keep()
    assert {name: (tmp_path / "store" / name).stat().st_mtime_ns for name in artifact.store.names("")} == written
    checkpoint(tmp_path / "here", 2)
    kept.keep()
    assert {name.split("/")[5] for name in artifact.store.names("runs/r/training/1/checkpoints/")} == {"2"}


def test_a_checkpoint_that_was_not_kept_to_the_end_is_passed_over(artifact, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    there.mkdir()
    checkpoint(here, 1)
    kept = Checkpoints(artifact, here)
    kept.keep()
    artifact.store.write("runs/r/training/1/checkpoints/2/content/x/weights", [b"half of it"])
    Checkpoints(artifact, there).restore()
    assert steps(there) == ["checkpoint-1"]


def test_what_is_here_is_not_replaced_by_what_is_older(artifact, tmp_path):
    here = tmp_path / "here"
    checkpoint(here, 1)
    Checkpoints(artifact, here).keep()
    checkpoint(here, 2)
    Checkpoints(artifact, here).restore()
    assert steps(here) == ["checkpoint-1", "checkpoint-2"]


def test_a_torn_checkpoint_here_gives_way_to_the_whole_one_that_was_kept(artifact, tmp_path):
    here = tmp_path / "here"
    checkpoint(here, 5)
    Checkpoints(artifact, here).keep()
    (here / "checkpoint-5/trainer_state.json").unlink()
    Checkpoints(artifact, here).restore()
    assert (here / "checkpoint-5/trainer_state.json").exists()


def test_a_checkpoint_that_the_trainer_takes_away_meanwhile_is_no_error(artifact, tmp_path, monkeypatch):
    here = tmp_path / "here"
    checkpoint(here, 1)
    write = Artifact.write_files

    def gone(_artifact, folder):
        shutil.rmtree(folder)
        raise FileNotFoundError(folder)

    kept = Checkpoints(artifact, here)
    monkeypatch.setattr(Artifact, "write_files", gone)
    kept.keep()
    monkeypatch.setattr(Artifact, "write_files", write)
    checkpoint(here, 2)
    kept.keep()
    assert {name.split("/")[5] for name in artifact.store.names("runs/r/training/1/checkpoints/")} == {"2"}
