"""The project's images, built for tests from its Dockerfile by buildah on a base that mmdebstrap makes from Debian packages.

Layers are kept between runs: a change of the package makes a small one anew, a change of the lock the large ones. What builds
that were killed have left behind goes at the next one, and all goes when it has become too much.
"""

import fcntl
import functools
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

from service_process import TOOLS

SOURCE = TOOLS.parents[1]
CACHE = Path(
    os.environ.get("DTO_TOOLS") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dto-tools"
)
ROOM_BYTES = 40e9
"""Free space that building, keeping and unpacking the largest image takes."""
KEPT_BYTES = 25e9
"""Layers of earlier locks are kept up to this much."""
BASE, PAUSE = "localhost/dto-base:1", "localhost/dto-pause:1"
BASE_PACKAGES = "python3,python3-venv,ca-certificates"
SECRETS = {
    # How this machine gets packages, where it says so: for the build alone, nothing of it stays in an image.
    "ca.crt": (os.environ.get("SSL_CERT_FILE", ""), "/etc/ssl/certs/ca-certificates.crt"),
    "pip.conf": (os.environ.get("PIP_CONFIG_FILE", ""), "~/.config/pip/pip.conf", "~/.pip/pip.conf", "/etc/pip.conf"),
    "uv.toml": (os.environ.get("UV_CONFIG_FILE", ""), "~/.config/uv/uv.toml", "/etc/uv/uv.toml"),
}


@functools.cache
def image(target: str) -> str:
    """Return the name of the image of one of the Dockerfile's targets; build what is not built yet."""
    with _alone(), TemporaryDirectory() as scratch:
        _tidy()
        _make_base()
        empty = Path(scratch) / "empty"
        empty.touch()
        secrets = [f"--secret=id={name},src={_first(places) or empty}" for name, places in SECRETS.items()]
        built = Path(scratch) / "id"
        _buildah(
            *("build-using-dockerfile", "--layers", f"--iidfile={built}", f"--target={target}"),
            *(f"--build-arg=BASE={BASE}", *secrets, f"--tag=localhost/dto-{target}", SOURCE),
        )
        name = f"localhost/dto-{target}:{built.read_text().removeprefix('sha256:')[:12]}"
        _buildah("tag", f"localhost/dto-{target}", name)
    return name


def write_archive(name: str, have: set[str], out: IO[bytes]) -> None:
    """Write an image as an OCI archive, without those of its parts that the reader has."""
    with _alone():
        layout = CACHE / "layouts" / name.rsplit("/", maxsplit=1)[-1].split(":", maxsplit=1)[0]
        layout.mkdir(parents=True, exist_ok=True)
        _make_base()
        _buildah("push", "--quiet", "--disable-compression", "--format=oci", name, f"oci:{layout}:{name}")
        manifest = _manifest(layout, name)
        parts = _parts(layout, manifest["digest"])
        _forget_others(layout, manifest, parts)
        manifest["annotations"] = {"io.containerd.image.name": name}
        index = {"schemaVersion": 2, "manifests": [manifest]}
        with tarfile.open(fileobj=out, mode="w|") as archive:
            _add(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
            _add(archive, "index.json", json.dumps(index).encode())
            for digest in parts:
                if digest not in have:
                    archive.add(_blob(layout, digest), f"blobs/{digest.replace(':', '/')}")


def compressed_bytes(name: str) -> int:
    """Return how much of an image goes over the network."""
    with _alone(), TemporaryDirectory() as folder:
        _buildah("push", "--quiet", "--format=oci", "--disable-compression=false", name, f"oci:{folder}:{name}")
        return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def settings(name: str) -> dict[str, Any]:
    """Return an image's settings: user, entry point, labels."""
    found: dict[str, Any] = json.loads(_buildah("inspect", "--type=image", name))["OCIv1"]["config"]
    return found


def _tidy() -> None:
    """Remove what builds that were killed have left, and everything where earlier locks have filled the disk."""
    storage = CACHE / "storage"
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in [path for path in mounts if path.startswith(f"{storage}/overlay/")]:
        subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)
    for left in (*CACHE.glob("buildah[0-9]*"), *CACHE.glob("[0-9]*")):
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    if storage.exists():
        _buildah("rm", "--all")
        if sum(path.lstat().st_size for path in (storage / "overlay").rglob("*") if not path.is_dir()) > KEPT_BYTES:
            _buildah("rmi", "--all", "--force")


def _forget_others(layout: Path, manifest: dict[str, Any], parts: list[str]) -> None:
    """Leave one image in a layout: earlier ones under the same name are never asked for again."""
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
    kept = {_blob(layout, digest) for digest in parts}
    for blob in set((layout / "blobs").rglob("*")) - kept:
        if blob.is_file():
            blob.unlink()


def _make_base() -> None:
    if _buildah("images", "--quiet", "--filter=reference=" + PAUSE):
        return
    with TemporaryDirectory(dir=CACHE) as folder:
        context = Path(folder)
        packages = f"--include={BASE_PACKAGES}"
        _run("mmdebstrap", "--quiet", "--variant=minbase", packages, "bookworm", context / "base.tar")
        (context / "Dockerfile").write_text("FROM scratch\nADD base.tar /\n")
        _buildah("build-using-dockerfile", f"--tag={BASE}", context)
        # What holds a pod's namespaces together: it only has to be there.
        (context / "Dockerfile").write_text(f'FROM {BASE}\nENTRYPOINT ["/usr/bin/sleep", "infinity"]\n')
        _buildah("build-using-dockerfile", f"--tag={PAUSE}", context)


def _buildah(*arguments: str | Path) -> str:
    # A folder of its own, and no daemon, no registry, no user namespace: it runs wherever root does.
    storage = CACHE / "storage"
    options = ("--storage-driver=overlay", f"--root={storage}", f"--runroot={storage}-run")
    return _run("buildah", *options, *arguments)


def _run(*command: str | Path) -> str:
    environment = {**os.environ, "BUILDAH_ISOLATION": "chroot", "TMPDIR": str(CACHE)}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, f"{command}: {done.stderr[-3000:]}"
    return done.stdout.strip()


@contextmanager
def _alone() -> Iterator[None]:
    """Keep other runs of the tests from building the same at the same time."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "images.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _first(places: tuple[str, ...]) -> Path | None:
    found = (Path(place).expanduser() for place in places if place)
    return next((path for path in found if path.is_file()), None)


def _manifest(layout: Path, name: str) -> dict[str, Any]:
    entries = json.loads((layout / "index.json").read_text())["manifests"]
    found: dict[str, Any] = next(
        one for one in entries if one.get("annotations", {}).get("org.opencontainers.image.ref.name") == name
    )
    return found


def _parts(layout: Path, digest: str) -> list[str]:
    content = json.loads(_blob(layout, digest).read_text())
    return [digest, content["config"]["digest"], *(layer["digest"] for layer in content["layers"])]


def _blob(layout: Path, digest: str) -> Path:
    return layout / "blobs" / digest.replace(":", "/")


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))
