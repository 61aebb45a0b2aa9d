"""The folder that the tests' images are built in keeps within bounds."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from image_cache import BUILDAH, CACHE, SCRATCH, alone, buildah, drop_old_images, environment, hold, names, tidy
from images import BASE, image
from node import require

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]


def containers() -> str:
    return buildah("containers", "--quiet")


def test_a_build_that_was_killed_leaves_nothing_behind(tmp_path: Path) -> None:
    require()
    image("operator")
    (tmp_path / "Dockerfile").write_text(f"FROM {BASE}\nRUN head -c 20000000 /dev/zero > /filler && sleep 600\n")
    with alone():
        command = [*BUILDAH, "build-using-dockerfile", "--layers", tmp_path]
        build = subprocess.Popen(command, env=environment(), start_new_session=True, stdout=subprocess.DEVNULL)
        end = time.monotonic() + 300
        while not containers():
            assert build.poll() is None
            assert time.monotonic() < end
            time.sleep(0.2)
        os.killpg(build.pid, signal.SIGKILL)
        build.wait()
        assert containers()
        tidy()
        assert not containers()
        assert list(SCRATCH.iterdir()) == []
        mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        assert not [place for place in mounted if "/merged" in place and Path(place).is_relative_to(CACHE)]


def test_an_image_stays_while_somebody_holds_it_and_goes_when_a_newer_one_has_its_name(tmp_path: Path) -> None:
    require()
    image("operator")

    def built(content: str) -> str:
        (tmp_path / "Dockerfile").write_text(f"FROM {BASE}\nLABEL content={content}\n")
        (tmp_path / "id").unlink(missing_ok=True)
        tag = "localhost/dto-tried"
        buildah("build-using-dockerfile", f"--iidfile={tmp_path / 'id'}", f"--tag={tag}", tmp_path)
        name = f"{tag}:{(tmp_path / 'id').read_text().removeprefix('sha256:')[:12]}"
        buildah("tag", tag, name)
        return name

    with alone():
        held = built("held")
        hold(held)
        forgotten, newest = built("forgotten"), built("newest")
        drop_old_images()
        kept = set(names())
        buildah("rmi", "--force", held, newest, "localhost/dto-tried")
    assert {held, newest} <= kept
    assert forgotten not in kept
