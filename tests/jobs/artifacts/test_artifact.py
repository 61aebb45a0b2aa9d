import hashlib
import json

import pytest

from dto_jobs.artifacts.artifact import Artifact, Blob, Receipt
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
    assert [part.blob.name[:10] for part in artifact.parts()] == ["part-00000", "part-00001"]
    assert artifact.part(3)
    assert artifact.part(2) is None


def test_records_without_their_note_are_not_committed(artifact, tmp_path):
    artifact.write_part(0, PROBLEMS[:1], 1, Spend(), {})
    (tmp_path / artifact.base / "part-00000.json").unlink()
    assert artifact.parts() == []


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete"])
def test_damage_is_noticed_and_named(artifact, tmp_path, damage):
    whole(artifact)
    (path,) = (tmp_path / artifact.base).glob("part-00001-*.jsonl.zst")
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


def test_two_writers_of_a_part_cannot_mix(artifact, tmp_path):
    first = artifact.write_part(0, PROBLEMS[:3], 3, Spend(generated=1), {})
    second = artifact.write_part(0, PROBLEMS[3:], 4, Spend(generated=2), {})
    assert second == first, "the second adopts what the first committed"
    artifact.commit(Receipt(stage="s", key="k", code="c", blobs=(second.blob,)))
    assert list(artifact.records(Problem)) == PROBLEMS[:3]
    assert len(list(tmp_path.rglob("part-*.zst"))) == 1, "what did not stand is gone"


def test_the_first_receipt_stands(artifact):
    first = whole(artifact).receipt()
    assert artifact.commit(first.model_copy(update={"blobs": first.blobs[:1]})) == first
    assert artifact.receipt() == first


@pytest.mark.parametrize("name", ["../../escape", "files/../../escape", "/etc/passwd", "content\\..\\x"])
def test_a_receipt_cannot_place_a_file_outside_its_folder(artifact, tmp_path, name):
    blobs = f'[{{"name": {json.dumps(name)}, "sha256": "", "bytes": 0}}]'
    artifact.store.write(
        f"{artifact.base}/receipt.json", [f'{{"stage": "s", "key": "k", "code": "c", "blobs": {blobs}}}'.encode()]
    )
    with pytest.raises(StoreError, match="leads out of the artifact"):
        artifact.fetch_files(tmp_path / "target")


def test_a_file_that_differs_from_its_digest_is_not_left_behind(artifact, tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "model.safetensors").write_bytes(b"weights")
    blobs = artifact.write_files(tmp_path / "source")
    artifact.commit(Receipt(stage="training", key="k", code="c", blobs=blobs))
    artifact.store.write(f"{artifact.base}/{blobs[0].name}", [b"other"])
    with pytest.raises(StoreError, match="is damaged"):
        artifact.fetch_files(tmp_path / "target")
    assert not list((tmp_path / "target").rglob("*.*"))


def test_files_of_the_first_version_are_still_found(artifact, tmp_path):
    artifact.store.write(f"{artifact.base}/files/nested/config.json", [b"{}"])
    blob = Blob(name="files/nested/config.json", sha256=hashlib.sha256(b"{}").hexdigest(), bytes=2)
    artifact.commit(Receipt(schema_version=1, stage="training", key="k", code="c", blobs=(blob,)))
    artifact.fetch_files(tmp_path / "target")
    assert (tmp_path / "target" / "nested" / "config.json").read_text() == "{}"


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
