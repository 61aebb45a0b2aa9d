import pytest

from dto_jobs.artifacts.artifact import Artifact, Receipt
from dto_jobs.artifacts.folder import FolderStore
from dto_jobs.core.cost import Spend
from dto_jobs.core.records import Problem
from dto_jobs.errors import StoreError

PROBLEMS = [Problem(id=str(i), question=f"{i} + 1? \u2028 ünï", answer=str(i + 1)) for i in range(7)]


@pytest.fixture
def artifact(tmp_path):
    return Artifact(FolderStore(tmp_path), "runs/r/rollout/1")


def whole(artifact):
    parts = [artifact.write_part(n, PROBLEMS[n * 3 : n * 3 + 3], 3, Spend(generated=5), {}) for n in range(3)]
    artifact.commit(Receipt(stage="rollout", key="k", code="c", blobs=tuple(p.blob for p in parts), records=7))
    return artifact


def test_records_come_back_in_order(artifact):
    assert list(whole(artifact).records(Problem)) == PROBLEMS


def test_without_a_receipt_there_is_no_artifact(artifact):
    artifact.write_part(0, PROBLEMS, 7, Spend(), {})
    assert artifact.receipt() is None
    with pytest.raises(StoreError, match="never finished"):
        list(artifact.records(Problem))


def test_parts_count_up_to_the_first_gap(artifact):
    for number in (0, 1, 3):
        artifact.write_part(number, PROBLEMS[:1], 1, Spend(), {})
    assert [part.blob.name for part in artifact.parts()] == ["part-00000.jsonl.zst", "part-00001.jsonl.zst"]


def test_records_without_their_note_are_not_committed(artifact, tmp_path):
    artifact.write_part(0, PROBLEMS[:1], 1, Spend(), {})
    (tmp_path / artifact.base / "part-00000.json").unlink()
    assert artifact.parts() == []


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete"])
def test_damage_is_noticed_and_named(artifact, tmp_path, damage):
    whole(artifact)
    path = tmp_path / artifact.base / "part-00001.jsonl.zst"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    match damage:
        case "flip":
            path.write_bytes(data)
        case "truncate":
            path.write_bytes(data[:-5])
        case "delete":
            path.unlink()
    with pytest.raises(StoreError, match="part-00001"):
        artifact.verify(artifact.receipt())
    with pytest.raises(StoreError, match="part-00001"):
        list(artifact.records(Problem))


def test_the_digest_is_of_the_content_alone(tmp_path):
    first, second = (whole(Artifact(FolderStore(tmp_path), base)).receipt() for base in ("a/1", "b/2"))
    assert first.digest == second.digest
    other = Artifact(FolderStore(tmp_path), "c/1")
    part = other.write_part(0, PROBLEMS, 7, Spend(), {})
    assert Receipt(stage="s", key="k", code="c", blobs=(part.blob,)).digest != first.digest


def test_a_receipt_of_another_version_is_an_error_not_a_crash(artifact, tmp_path):
    whole(artifact)
    (tmp_path / artifact.base / "receipt.json").write_text('{"stage": 1}')
    with pytest.raises(StoreError, match=r"receipt\.json does not hold a Receipt"):
        artifact.receipt()


def test_files_come_back_as_they_were(artifact, tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "nested").mkdir(parents=True)
    (source / "model.safetensors").write_bytes(bytes(range(256)) * 9000)
    (source / "nested" / "config.json").write_text("{}")
    blobs = artifact.write_files(source)
    artifact.commit(Receipt(stage="training", key="k", code="c", blobs=blobs))
    artifact.fetch_files(target)
    assert (target / "model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()
    assert (target / "nested" / "config.json").read_text() == "{}"
