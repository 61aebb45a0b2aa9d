"""The project's images, built for tests from its Dockerfile by buildah on a base that mmdebstrap makes from Debian packages.

Layers are kept between runs: a change of the package makes a small one anew, a change of the lock the large ones.
"""

import functools
import io
import json
import os
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

from image_cache import LAYOUTS, SCRATCH, alone, blob, buildah, drop_old_images, free_gigabytes, hold, names, parts, run
from service_process import TOOLS, missing

SOURCE = TOOLS.parents[1]
BASE, PAUSE = "localhost/dto-base:1", "localhost/dto-pause:1"
BASE_PACKAGES = "python3,python3-venv,ca-certificates"
SECRETS = {
    # How this machine gets packages, where it says so: for the build alone, nothing of it stays in an image.
    "ca.crt": (os.environ.get("SSL_CERT_FILE", ""), "/etc/ssl/certs/ca-certificates.crt"),
    "pip.conf": (os.environ.get("PIP_CONFIG_FILE", ""), "~/.config/pip/pip.conf", "~/.pip/pip.conf", "/etc/pip.conf"),
    "uv.toml": (os.environ.get("UV_CONFIG_FILE", ""), "~/.config/uv/uv.toml", "/etc/uv/uv.toml"),
}
GIGABYTES = {"jobs-cpu": 26.0}
"""Room that the first build of an image takes, with what a node unpacks of it: four copies of its largest layer for a while."""
LITTLE_GIGABYTES = 3.0


@functools.cache
def image(target: str) -> str:
    """Return the name of the image of one of the Dockerfile's targets; build what is not built yet."""
    with alone(), TemporaryDirectory(dir=SCRATCH) as scratch:
        require_room(target)
        _make_base()
        # By names of their own: what nothing names is tidied away, and an environment takes longest.
        for stage in ("package", f"{target}-environment"):
            _build(stage, Path(scratch))
        built = _build(target, Path(scratch))
        name = f"localhost/dto-{target}:{built}"
        buildah("tag", f"localhost/dto-{target}", name)
        hold(name)
        drop_old_images()
    return name


def require_room(target: str) -> None:
    """Skip where the disk has no room for what is not there yet; with CI=true that is a failure."""
    there = f"localhost/dto-{target}-environment:latest" in names()
    needed = LITTLE_GIGABYTES if there else GIGABYTES.get(target, LITTLE_GIGABYTES)
    if free_gigabytes() < needed:
        missing("cluster", f"the image {target} needs {needed:.0f} GB of disk, and {free_gigabytes():.0f} GB are free")


def write_archive(name: str, have: set[str], out: IO[bytes]) -> None:
    """Write an image as an OCI archive, without those of its parts that the reader has."""
    with alone():
        _make_base()
        layout, digest = _laid_out(name)
        manifest = _manifest(layout, name)
        manifest["annotations"] = {"io.containerd.image.name": name}
        index = {"schemaVersion": 2, "manifests": [manifest]}
        with tarfile.open(fileobj=out, mode="w|") as archive:
            _add(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
            _add(archive, "index.json", json.dumps(index).encode())
            for part in parts(layout, digest):
                if part not in have:
                    archive.add(blob(layout, part), f"blobs/{part.replace(':', '/')}")


def share(name: str, blobs: Path) -> None:
    """Have a reader's copies of an image's parts be ours: the same files, so that a large layer takes its room once."""
    with alone():
        layout, digest = _laid_out(name)
        for part in parts(layout, digest):
            ours, theirs = blob(layout, part), blobs / part.replace(":", "/")
            if theirs.exists() and not ours.samefile(theirs) and ours.stat().st_dev == theirs.stat().st_dev:
                link = theirs.with_name(f"{theirs.name}.link")
                link.hardlink_to(ours)
                link.replace(theirs)


def compressed_bytes(name: str) -> int:
    """Return how much of an image goes over the network."""
    with alone(), TemporaryDirectory(dir=SCRATCH) as folder:
        buildah("push", "--quiet", "--format=oci", "--disable-compression=false", name, f"oci:{folder}:{name}")
        return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def unpacked_bytes(name: str) -> int:
    """Return how much an image takes on a disk, whose layers are not compressed for that."""
    with alone():
        layout, digest = _laid_out(name)
        return sum(blob(layout, part).stat().st_size for part in parts(layout, digest))


def settings(name: str) -> dict[str, Any]:
    """Return an image's settings: user, entry point, labels."""
    found: dict[str, Any] = json.loads(buildah("inspect", "--type=image", name))["OCIv1"]["config"]
    return found


def _build(stage: str, scratch: Path) -> str:
    empty, built = scratch / "empty", scratch / "id"
    empty.touch()
    secrets = [f"--secret=id={name},src={_first(places) or empty}" for name, places in SECRETS.items()]
    buildah(
        *("build-using-dockerfile", "--layers", f"--iidfile={built}", f"--target={stage}"),
        *(f"--build-arg=BASE={BASE}", *secrets, f"--tag=localhost/dto-{stage}", SOURCE),
    )
    return built.read_text().removeprefix("sha256:")[:12]


def _make_base() -> None:
    if PAUSE in names():
        return
    with TemporaryDirectory(dir=SCRATCH) as folder:
        context = Path(folder)
        packages = f"--include={BASE_PACKAGES}"
        run("mmdebstrap", "--quiet", "--variant=minbase", packages, "bookworm", context / "base.tar")
        (context / "Dockerfile").write_text("FROM scratch\nADD base.tar /\n")
        buildah("build-using-dockerfile", f"--tag={BASE}", context)
        # What holds a pod's namespaces together: it only has to be there.
        (context / "Dockerfile").write_text(f'FROM {BASE}\nENTRYPOINT ["/usr/bin/sleep", "infinity"]\n')
        buildah("build-using-dockerfile", f"--tag={PAUSE}", context)


def _laid_out(name: str) -> tuple[Path, str]:
    """Return the layout with an image's parts, each written once, and the digest of its manifest."""
    layout = LAYOUTS / name.rsplit("/", maxsplit=1)[-1].split(":", maxsplit=1)[0]
    layout.mkdir(parents=True, exist_ok=True)
    buildah("push", "--quiet", "--disable-compression", "--format=oci", name, f"oci:{layout}:{name}")
    return layout, _manifest(layout, name)["digest"]


def _first(places: tuple[str, ...]) -> Path | None:
    found = (Path(place).expanduser() for place in places if place)
    return next((path for path in found if path.is_file()), None)


def _manifest(layout: Path, name: str) -> dict[str, Any]:
    entries = json.loads((layout / "index.json").read_text())["manifests"]
    found: dict[str, Any] = next(
        one for one in entries if one.get("annotations", {}).get("org.opencontainers.image.ref.name") == name
    )
    return found


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))
