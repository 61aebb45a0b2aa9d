import pytest

from dto_jobs.artifacts.addresses import open_store, place
from dto_jobs.artifacts.folder import FolderStore
from dto_jobs.errors import InputError


def test_a_path_is_a_folder(tmp_path):
    assert isinstance(open_store(tmp_path), FolderStore)
    assert open_store(str(tmp_path)).address == str(tmp_path)


def test_bucket_and_prefix_are_told_apart():
    assert place("s3://dto/some/prefix") == ("dto", "some/prefix")
    assert place("s3://dto") == ("dto", "")


@pytest.mark.parametrize("address", ["s3://", "s3:///prefix", "s3://Not_A_Bucket/x", "http://dto/x", "gs://dto/x"])
def test_what_names_no_store_is_refused(address):
    with pytest.raises(InputError, match=address):
        open_store(address)


def test_without_keys_it_says_which_variables_to_set(monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    with pytest.raises(InputError, match=r"set \$AWS_ACCESS_KEY_ID and \$AWS_SECRET_ACCESS_KEY"):
        open_store("s3://dto/x")


@pytest.mark.parametrize("endpoint", ["minio:9000", "ftp://minio", "http://", "http://minio/path"])
def test_an_endpoint_is_a_url_of_a_service(monkeypatch, endpoint):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    with pytest.raises(InputError, match="is no URL"):
        open_store("s3://dto/x", endpoint)


def test_keys_are_not_shown(monkeypatch):
    from dto_jobs.settings import s3_from_environment  # noqa: PLC0415

    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    assert "hush" not in repr(s3_from_environment())
