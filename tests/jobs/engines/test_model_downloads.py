"""Models in a bucket of a real MinIO, and in the hub's cache."""

import hashlib
import os
import subprocess
import sys
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import pytest

from dto_jobs.artifacts.addresses import open_store
from dto_jobs.artifacts.artifact import Artifact, Receipt
from dto_jobs.engines import model_downloads
from dto_jobs.engines.model_sources import digest, resolve
from dto_jobs.errors import InputError, StoreError

TINY = Path(str(files("dto_jobs.demo").joinpath("tiny-reasoner")))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache, and a process that has checked nothing yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model_downloads._check_files.cache_clear()
    model_downloads.check_hub_files.cache_clear()
    return tmp_path / "cache" / "dto" / "models"


@pytest.fixture
def source(s3_keys):
    """The tiny reasoner in a bucket, with what must not be fetched beside it."""
    address = f"s3://{s3_keys.bucket()}/models/tiny"
    store = open_store(address)
    for file in TINY.iterdir():
        store.write(file.name, [file.read_bytes()])
    store.write("pytorch_model.bin", [b"a pickle"])
    store.write("modeling_tiny.py", [b"raise SystemExit"])
    store.write("checkpoint-10/model.safetensors", [b"of another day"])
    return address


@pytest.mark.services
def test_a_model_in_a_bucket_is_the_model(source, tmp_path):
    folder = resolve(source, tmp_path)
    assert digest(folder) == digest(TINY)
    assert {path.suffix for path in folder.iterdir()} <= {".safetensors", ".json", ".jinja", ".txt"}, (
        "no pickle, no code"
    )


@pytest.mark.services
def test_a_model_is_downloaded_once(source, tmp_path, monkeypatch):
    folder = resolve(source, tmp_path)
    monkeypatch.setattr(model_downloads, "_fetch", None)
    assert resolve(source, tmp_path) == folder


@pytest.mark.services
def test_a_changed_model_is_another(source, tmp_path):
    before = resolve(source, tmp_path)
    open_store(source).write("config.json", [b"{}"])
    after = resolve(source, tmp_path)
    assert after != before
    assert (after / "config.json").read_bytes() == b"{}"
    assert digest(before) == digest(TINY)


@pytest.mark.services
def test_a_download_that_breaks_off_leaves_no_model(source, tmp_path, monkeypatch, cache):
    honest = model_downloads.S3Store.read

    def breaking(self, name):
        if name.endswith(".safetensors"):
            yield b"the beginning"
            raise StoreError("gone")
        yield from honest(self, name)

    with monkeypatch.context() as broken:
        broken.setattr(model_downloads.S3Store, "read", breaking)
        with pytest.raises(StoreError, match="gone"):
            resolve(source, tmp_path)
    assert list(cache.iterdir()) == []
    assert digest(resolve(source, tmp_path)) == digest(TINY)


@pytest.mark.services
def test_what_differs_from_the_service_s_digest_is_refused(source, tmp_path, monkeypatch, cache):
    honest = model_downloads.S3Store.read
    monkeypatch.setattr(
        model_downloads.S3Store, "read", lambda self, name: (chunk[:-1] + b"?" for chunk in honest(self, name))
    )
    with pytest.raises(InputError, match="changed or was damaged"):
        resolve(source, tmp_path)
    assert list(cache.iterdir()) == []


@pytest.mark.services
def test_a_file_that_was_damaged_in_the_cache_is_told(source, tmp_path):
    folder = resolve(source, tmp_path)
    model_downloads._check_files.cache_clear()
    weights = next(folder.glob("*.safetensors"))
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    with pytest.raises(InputError, match=f"{weights} is damaged: delete {folder}"):
        resolve(source, tmp_path)


@pytest.mark.services
def test_processes_that_download_at_once_get_one_whole_model(source, cache):
    code = "import sys; from pathlib import Path; from dto_jobs.engines.model_sources import digest, resolve\n"
    code += "print(digest(resolve(sys.argv[1], Path('.'))))"
    command = [sys.executable, "-c", code, source]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) for _ in range(4)]
    assert {process.communicate(timeout=120)[0].strip() for process in started} == {digest(TINY)}
    assert len(list(cache.iterdir())) == 1


@pytest.mark.services
def test_a_model_that_a_run_trained_is_fetched_by_its_receipt(s3_keys, tmp_path):
    address = f"s3://{s3_keys.bucket()}/runs/r/training"
    kept = Artifact(open_store(address), "1")
    blobs = kept.write_files(TINY)
    kept.commit(Receipt(stage="training", key="k", code="c", blobs=blobs))
    assert digest(resolve(f"{address}/1", tmp_path)) == digest(TINY)


@pytest.mark.services
def test_a_prefix_without_a_model_says_so(s3_keys, tmp_path):
    with pytest.raises(InputError, match="there is nothing at s3://"):
        resolve(f"s3://{s3_keys.bucket()}/models/none", tmp_path)


def hub_cache(home: Path, damaged: bool = False) -> None:
    """Lay the tiny reasoner out as the hub's client does: files named by their digests, and links to them."""
    repository = home / "models--org--tiny"
    snapshot = repository / "snapshots" / ("a" * 40)
    for folder in (snapshot, repository / "blobs", repository / "refs"):
        folder.mkdir(parents=True)
    (repository / "refs" / "main").write_text("a" * 40)
    for file in TINY.iterdir():
        data = file.read_bytes()
        head = f"blob {len(data)}\0".encode()
        large = file.suffix == ".safetensors"
        blob = repository / "blobs" / (hashlib.sha256(data) if large else hashlib.sha1(head + data)).hexdigest()
        blob.write_bytes(data[:-1] + bytes([data[-1] ^ 1]) if damaged and large else data)
        (snapshot / file.name).symlink_to(blob)


@pytest.mark.engines
@pytest.mark.parametrize("damaged", [False, True])
def test_the_hub_s_cache_is_verified(tmp_path, damaged):
    """The hub itself cannot be reached here: its cache is laid out by hand, and the client really reads it."""
    assert find_spec("huggingface_hub")
    hub_cache(tmp_path / "hub", damaged)
    code = "import sys; from pathlib import Path; from dto_jobs.engines.model_sources import digest, resolve\n"
    code += "print(digest(resolve('hf://org/tiny@main', Path('.'))))"
    environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, env=environment)
    if damaged:
        assert "in the hub's cache is damaged: delete" in done.stderr
    else:
        assert done.stdout.strip() == digest(TINY)
