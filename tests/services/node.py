"""A real node for tests: containerd and kubelet in a world of their own, which ends with the tests, however they end.

Network, mounts and processes are in namespaces of one process: when it ends, the kernel ends and removes all that is in them.
What runs of the tests do side by side on one machine is kept apart by places, numbered from 1: each has its own addresses,
cgroup and folder, and is held by a lock. The folder keeps the images that containerd has unpacked.
"""

import fcntl
import functools
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import images
import yaml
from control_plane import ControlPlane
from image_cache import OURS, PLACES, drop_free_places, names
from images import PAUSE
from service_process import PATIENCE, Service, built, missing

PACKAGES = {
    "runc": "runc",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "mmdebstrap": "mmdebstrap",
    "buildah": "buildah",
    "ip": "iproute2",
    "nsenter": "util-linux",
}
PLUGINS = Path("/usr/lib/cni")
CGROUPS = Path("/sys/fs/cgroup")
SHARED = (Path("/run/containerd"), Path("/run/netns"))
TUNABLES = Path("/proc/sys")
TUNED = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops")
"""What a kubelet sets on its machine, which is set back at the end."""
NAME = "node"


def lacking() -> str | None:
    """Return why no node can run on this machine, None where it can."""
    if os.geteuid() != 0:
        return "only root may start a node"
    absent = [package for program, package in PACKAGES.items() if shutil.which(program, path=_path()) is None]
    absent += [] if (PLUGINS / "bridge").exists() else ["containernetworking-plugins"]
    return f"not installed: {', '.join(absent)}" if absent else None


class Place:
    """What one run of the tests has to itself on this machine."""

    def __init__(self) -> None:
        self.number, self._lock = _free_place()
        self.folder = PLACES / str(self.number)
        self.folder.mkdir(exist_ok=True)
        drop_free_places(self.number)
        net = f"10.213.{self.number}"
        # The machine's end of the wire, where API server and bucket listen, and the node's.
        self.outside, self.inside = f"{net}.1", f"{net}.2"
        self.bridge, self.pods = f"{net}.129", f"{net}.128/25"
        self.cgroup = f"dto-node-{self.number}"
        self.link = f"dto{self.number}"

    def leave(self) -> None:
        """Let others have it."""
        os.close(self._lock)


class World:
    """Namespaces for network, mounts and processes, alive as long as their first process, which dies with the tests."""

    def __init__(self, place: Place) -> None:
        self._place = place
        alone = ["unshare", "--net", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc"]
        # The first process of the namespace takes leave of those whose parents are gone: a shell does.
        self._holder = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *alone, "sh", "-c", "sleep infinity & wait"]
        )
        self.first = self._first()
        _remove_cgroups(place.cgroup)
        _make_cgroups(place.cgroup)
        self._tunables = {path: path.read_text() for path in map(TUNABLES.joinpath, TUNED) if path.exists()}
        for shared in SHARED:
            # Where containerd and the plugins put what is no one else's business: here it is out of sight, and goes with us.
            shared.mkdir(parents=True, exist_ok=True)
            self.run("mount", "-t", "tmpfs", "tmpfs", shared)
        self._wire()

    def within(self, *command: str | Path) -> list[str | Path]:
        """Return the command line that runs a command in here."""
        return ["nsenter", "--target", str(self.first), "--net", "--pid", "--mount", "--", *command]

    def run(self, *command: str | Path) -> str:
        """Run a command in here and return what it says."""
        done = subprocess.run(self.within(*command), check=False, capture_output=True, text=True, env=environment())
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def end(self) -> None:
        """End everything in here."""
        os.kill(self.first, signal.SIGKILL)
        self._holder.wait()
        _remove_cgroups(self._place.cgroup)
        for path, value in self._tunables.items():
            path.write_text(value)

    def _first(self) -> int:
        children = Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children")
        end = time.monotonic() + PATIENCE
        while True:
            # Its name tells that the shell has begun, in namespaces that are all there.
            found = children.read_text().split()
            if found and Path(f"/proc/{found[0]}/comm").read_text().strip() == "sh":
                return int(found[0])
            assert time.monotonic() < end
            assert self._holder.poll() is None
            time.sleep(0.01)

    def _wire(self) -> None:
        place = self._place
        # A link whose other end is gone goes with it, a moment later.
        subprocess.run(["ip", "link", "delete", place.link], check=False, capture_output=True)
        _ip("link", "add", place.link, "type", "veth", "peer", "name", "uplink", "netns", str(self.first))
        _ip("address", "add", f"{place.outside}/30", "dev", place.link)
        _ip("link", "set", place.link, "up")
        self.run("ip", "link", "set", "lo", "up")
        self.run("ip", "address", "add", f"{place.inside}/30", "dev", "uplink")
        self.run("ip", "link", "set", "uplink", "up")
        self.run("ip", "route", "add", "default", "via", place.outside)
        _ip("route", "add", place.pods, "via", place.inside)
        self.run("sysctl", "-qw", "net.ipv4.ip_forward=1")


class Node:
    """containerd and kubelet, registered with a control plane."""

    def __init__(self, plane: ControlPlane, place: Place, world: World, folder: Path) -> None:
        self.plane = plane
        self.place = place
        self.world = world
        self._folder = folder
        self._socket = folder / "containerd.sock"
        self._ctr = built("containerd/ctr") / "ctr"
        self._containerd = self._make_containerd()
        self._kubelet = self._make_kubelet()

    def start(self) -> None:
        """Start both and wait until the node is ready."""
        self._containerd.start()
        self._forget_containers()
        self.add_image(PAUSE)
        self._forget_images()
        self._kubelet.start()

    def kill(self) -> None:
        """Take leave of both; their world's end has ended them."""
        self._kubelet.kill()
        self._containerd.kill()

    def add_image(self, name: str) -> None:
        """Give it an image that this machine has built; what it has of it already is not read again."""
        if name in self.ctr("images", "list", "-q").split():
            return
        have = set(self.ctr("content", "list", "-q").split())
        command = self.world.within(self._ctr, "-a", self._socket, "-n", "k8s.io", "images", "import", "-")
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment()
        ) as importing:
            assert importing.stdin is not None
            images.write_archive(name, have, importing.stdin)
            importing.stdin.close()
        assert importing.returncode == 0
        assert name in self.ctr("images", "list", "-q").split()
        images.share(name, self.place.folder / "containerd/io.containerd.content.v1.content/blobs")

    def ctr(self, *arguments: str | Path) -> str:
        """Run containerd's own client on what Kubernetes uses."""
        command = self.world.within(self._ctr, "-a", self._socket, "-n", "k8s.io", *arguments)
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment())
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _forget_containers(self) -> None:
        """Remove what containerd still knows of an earlier run's containers: they died with their world."""
        for container in self.ctr("containers", "list", "-q").split():
            self.ctr("containers", "delete", container)

    def _forget_images(self) -> None:
        """Remove images that this machine no longer keeps, with what was unpacked of them."""
        kept = names()
        for name in self.ctr("images", "list", "-q").split():
            if name.startswith(OURS) and name not in kept:
                self.ctr("images", "remove", "--sync", name)

    def _make_containerd(self) -> Service:
        settings = self._folder / "containerd.toml"
        networks = self._folder / "networks"
        networks.mkdir()
        (networks / "10-bridge.conflist").write_text(json.dumps(self._network()))
        settings.write_text(
            f"""version = 3
root = "{self.place.folder}/containerd"
state = "{self._folder}/state"
oom_score = 0
disabled_plugins = ["io.containerd.nri.v1.nri"]
[grpc]
  address = "{self._socket}"
[ttrpc]
  address = "{self._socket}.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "{self._folder}/opt"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{PAUSE}"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["{PLUGINS}"]
    conf_dir = "{networks}"
[plugins."io.containerd.grpc.v1.cri"]
  stream_server_address = "127.0.0.1"
"""
        )
        program = built("containerd/containerd") / "containerd"
        return Service(
            self.world.within(program, "--config", settings, "--log-level", "warn"),
            self._answers,
            self._folder / "containerd.log",
            **environment(),
        )

    def _answers(self) -> bool:
        command = self.world.within(self._ctr, "-a", self._socket, "version")
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    def _network(self) -> dict[str, Any]:
        ranges = [[{"subnet": self.place.pods}]]
        bridge = {
            "type": "bridge",
            "bridge": "pods",
            "isGateway": True,
            "ipMasq": True,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "ranges": ranges,
                "routes": [{"dst": "0.0.0.0/0"}],
                "dataDir": str(self._folder / "addresses"),
            },
        }
        ports = {"type": "portmap", "capabilities": {"portMappings": True}}
        return {"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge, ports]}

    def _make_kubelet(self) -> Service:
        settings = self._folder / "kubelet.yaml"
        settings.write_text(yaml.safe_dump(self._kubelet_settings()))
        command = {
            "config": settings,
            "kubeconfig": self.plane.identity(f"system:node:{NAME}", "system:nodes"),
            "root-dir": self._folder / "kubelet",
            "hostname-override": NAME,
            "node-ip": self.place.inside,
            "cert-dir": self._folder / "kubelet-certificates",
        }
        program = built("kubernetes/kubelet") / "kubelet"
        return Service(
            self.world.within(program, *(f"--{name}={value}" for name, value in command.items())),
            self._ready,
            self._folder / "kubelet.log",
            **environment(),
        )

    def _kubelet_settings(self) -> dict[str, Any]:
        authority = self.plane.authority
        certificate, key = authority.certificate("kubelet", f"/CN={NAME}", f"DNS:{NAME},IP:{self.place.inside}")
        resolver = self._folder / "resolv.conf"
        # Nobody resolves names here: what pods talk to has addresses.
        resolver.write_text("nameserver 127.0.0.1\n")
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": self.place.inside,
            "authentication": {
                "anonymous": {"enabled": False},
                "x509": {"clientCAFile": str(authority.folder / "ca.crt")},
            },
            "tlsCertFile": str(certificate),
            "tlsPrivateKeyFile": str(key),
            "containerRuntimeEndpoint": f"unix://{self._socket}",
            "cgroupRoot": f"/{self.place.cgroup}",
            "cgroupDriver": "cgroupfs",
            # Machines with cgroup v1 do, too, and none is asked for rights that it may not have.
            "failCgroupV1": False,
            "failSwapOn": False,
            "oomScoreAdj": 0,
            "maxOpenFiles": 20000,
            "resolvConf": str(resolver),
            "podLogsDir": str(self._folder / "pod-logs"),
            "volumePluginDir": str(self._folder / "volume-plugins"),
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            # Images are kept for the next run of the tests.
            "imageGCHighThresholdPercent": 100,
            "nodeStatusUpdateFrequency": "2s",
            "syncFrequency": "10s",
            "kubeAPIQPS": 100,
            "kubeAPIBurst": 200,
        }

    def _ready(self) -> bool:
        node = self.plane.admin.ask("GET", f"/api/v1/nodes/{NAME}")
        conditions = node.content["status"].get("conditions", []) if node.code == 200 else []
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


@functools.cache
def environment() -> dict[str, str]:
    """Return the environment of what runs on the node: containerd finds its shim, kubelet and plugins their tools."""
    return {**os.environ, "PATH": _path(str(built("containerd/containerd-shim-runc-v2")))}


def _path(*first: str) -> str:
    return ":".join((*first, "/usr/sbin", "/sbin", os.environ["PATH"]))


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"


def _free_place() -> tuple[int, int]:
    PLACES.mkdir(parents=True, exist_ok=True)
    for number in range(1, 255):
        lock = os.open(PLACES / f"{number}.lock", os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            return number, lock
    raise AssertionError


def _hierarchies() -> list[Path]:
    """Return where cgroups are: one place, or with version 1 one by controller."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return [path for path in CGROUPS.iterdir() if path.is_dir() and not path.is_symlink()]


def _make_cgroups(name: str) -> None:
    for hierarchy in _hierarchies():
        (hierarchy / name).mkdir(exist_ok=True)
        for kind in ("cpuset.cpus", "cpuset.mems"):
            # A new cpuset of version 1 is empty, and takes nobody.
            if (hierarchy / kind).exists():
                (hierarchy / name / kind).write_text((hierarchy / kind).read_text())


def _remove_cgroups(name: str) -> None:
    end = time.monotonic() + PATIENCE
    for hierarchy in _hierarchies():
        while (hierarchy / name).exists() and not _removed(hierarchy / name):
            # Killed processes leave their group a moment later.
            assert time.monotonic() < end
            time.sleep(0.05)


def _removed(cgroup: Path) -> bool:
    folders = sorted((path for path in cgroup.rglob("*") if path.is_dir()), key=lambda path: -len(path.parts))
    try:
        for folder in (*folders, cgroup):
            folder.rmdir()
    except OSError:
        return False
    return True


def require() -> None:
    """Skip where no node can run; with CI=true that is a failure."""
    why = lacking()
    if why:
        missing("cluster", why)
