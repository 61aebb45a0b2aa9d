"""A real Kubernetes API server for tests: etcd and kube-apiserver without nodes, and whoever is to ask it."""

import base64
import json
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from audit import Audit
from service_process import PATIENCE, Service, built, free_port

CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
LOCAL = "DNS:localhost,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:10.96.0.1"


class Answer(NamedTuple):
    """What the API server said."""

    code: int
    content: Any

    @property
    def message(self) -> str:
        """Why it refused."""
        return str(self.content.get("message", "")) if isinstance(self.content, dict) else str(self.content)


class Authority:
    """A certificate authority that is made for one cluster and thrown away with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self._openssl(
            "req", "-x509", *CURVE, "-keyout", "ca.key", "-out", "ca.crt", "-days", "30", "-subj", "/CN=tests"
        )
        self._openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "accounts.key")

    def certificate(self, name: str, subject: str, names: str) -> tuple[Path, Path]:
        """Return the files of a certificate and its key."""
        key, request, made = f"{name}.key", f"{name}.csr", f"{name}.crt"
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(
            f"subjectAltName={names}\nextendedKeyUsage=serverAuth,clientAuth\nkeyUsage=digitalSignature\n"
        )
        self._openssl("req", *CURVE, "-keyout", key, "-out", request, "-subj", subject)
        self._openssl(
            *("x509", "-req", "-in", request, "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"),
            *("-days", "30", "-out", made, "-extfile", extensions.name),
        )
        return self.folder / made, self.folder / key

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)


class Client:
    """One identity that asks the API server, over plain HTTPS."""

    def __init__(self, url: str, authority: Authority, name: str, groups: tuple[str, ...]) -> None:
        self.url = url
        self._authority = authority.folder / "ca.crt"
        subject = "".join(f"/O={group}" for group in groups) + f"/CN={name}"
        self._certificate, self._key = authority.certificate(f"client-{name}", subject, f"DNS:{name}")
        self._context = ssl.create_default_context(cafile=str(self._authority))
        self._context.load_cert_chain(self._certificate, self._key)

    def ask(self, method: str, path: str, content: Any = None, kind: str = "application/json") -> Answer:
        """Return what the API server answers; OSError where it does not."""
        data = content.encode() if isinstance(content, str) else content and json.dumps(content).encode()
        headers = {"Content-Type": kind, "Accept": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120, context=self._context) as answer:
                return Answer(answer.status, _parsed(answer.read()))
        except urllib.error.HTTPError as refusal:
            with refusal:
                return Answer(refusal.code, _parsed(refusal.read()))

    def configuration(self) -> dict[str, Any]:
        """Return a kubeconfig with this identity."""
        coded = {
            name: base64.b64encode(path.read_bytes()).decode()
            for name, path in (("ca", self._authority), ("certificate", self._certificate), ("key", self._key))
        }
        cluster = {"server": self.url, "certificate-authority-data": coded["ca"]}
        user = {"client-certificate-data": coded["certificate"], "client-key-data": coded["key"]}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "tests", "cluster": cluster}],
            "users": [{"name": "tests", "user": user}],
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
            "current-context": "tests",
        }


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text.decode()


class ApiServer:
    """A control plane without nodes: nothing runs what is stored in it."""

    def __init__(self, folder: Path, address: str = "127.0.0.1", audited: str = "") -> None:
        self.folder = folder
        self.address = address
        self.audit = Audit(folder, audited) if audited else None
        self.authority = Authority(folder / "certificates")
        self.port = free_port()
        self.url = f"https://{address}:{self.port}"
        self.admin = Client(self.url, self.authority, "admin", ("system:masters",))
        self.kubeconfig = folder / "kubeconfig.yaml"
        self.kubeconfig.write_text(yaml.safe_dump(self.admin.configuration()))
        self._etcd = self._store()
        self._server = self._front()

    def start(self) -> None:
        """Start both and wait until they are ready."""
        self._etcd.start()
        self._server.start()

    def kill(self) -> None:
        """End both."""
        self._server.kill()
        self._etcd.kill()

    def restart(self) -> None:
        """End the API server and start it again; what is stored stays."""
        self._server.kill()
        self._server.start()

    def compact(self) -> None:
        """Have etcd forget everything but how things are now, as it does every few minutes."""
        revision = _posted(f"{self._etcd_url}/v3/kv/range", {"key": "AA=="})["header"]["revision"]
        _posted(f"{self._etcd_url}/v3/kv/compaction", {"revision": revision, "physical": True})

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so on the API server."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.05)

    def kubectl(self, *arguments: str, content: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run `kubectl` as the administrator; standard input gets the content."""
        command = [built("kubernetes/kubectl") / "kubectl", f"--kubeconfig={self.kubeconfig}", *arguments]
        return subprocess.run(command, check=False, capture_output=True, text=True, input=content)

    def _store(self) -> Service:
        client, peer = free_port(), free_port()
        self._etcd_url = f"http://127.0.0.1:{client}"
        command = {
            "data-dir": self.folder / "etcd",
            "listen-client-urls": self._etcd_url,
            "advertise-client-urls": self._etcd_url,
            "listen-peer-urls": f"http://127.0.0.1:{peer}",
            "initial-advertise-peer-urls": f"http://127.0.0.1:{peer}",
            "initial-cluster": f"default=http://127.0.0.1:{peer}",
            "log-level": "warn",
            # What is stored lives as long as the tests; the disk need not hear of it.
            "unsafe-no-fsync": "true",
        }
        return Service(
            [built("etcd") / "server", *options(command)], lambda: _healthy(self._etcd_url), self.folder / "etcd.log"
        )

    def _front(self) -> Service:
        certificate, key = self.authority.certificate("server", "/CN=kube-apiserver", f"{LOCAL},IP:{self.address}")
        reader, reader_key = self.authority.certificate("reader", "/O=system:masters/CN=kubelet-reader", "DNS:reader")
        accounts = self.authority.folder / "accounts.key"
        command = {
            "etcd-servers": self._etcd_url,
            "bind-address": self.address,
            "secure-port": str(self.port),
            "endpoint-reconciler-type": "none",
            "tls-cert-file": certificate,
            "tls-private-key-file": key,
            "client-ca-file": self.authority.folder / "ca.crt",
            "kubelet-client-certificate": reader,
            "kubelet-client-key": reader_key,
            "kubelet-preferred-address-types": "InternalIP",
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-signing-key-file": accounts,
            "service-account-key-file": accounts,
            "service-cluster-ip-range": "10.96.0.0/16",
            "authorization-mode": "Node,RBAC",
            "shutdown-delay-duration": "0s",
            **(self.audit.options() if self.audit else {}),
        }
        return Service(
            [built("kubernetes/kube-apiserver") / "kube-apiserver", *options(command)],
            self._ready,
            self.folder / "apiserver.log",
        )

    def _ready(self) -> bool:
        try:
            return self.admin.ask("GET", "/readyz").code == 200
        except OSError:
            return False


def options(values: dict[str, str | Path]) -> list[str | Path]:
    """Return settings as the command line of a Kubernetes program has them."""
    return [f"--{name}={value}" for name, value in values.items()]


def _posted(url: str, content: dict[str, Any]) -> Any:
    request = urllib.request.Request(url, json.dumps(content).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=30) as answer:
            return bool(json.loads(answer.read())["health"] == "true")
    except (OSError, ValueError):
        return False


def started(folder: Path) -> ApiServer:
    """Return an API server that is ready, with its files in an empty folder."""
    for attempt in range(3):
        (folder / str(attempt)).mkdir()
        server = ApiServer(folder / str(attempt))
        try:
            server.start()
        except RuntimeError:
            # Another program may have taken a port in between.
            server.kill()
            if attempt == 2:
                raise
        else:
            return server
    raise AssertionError


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """An API server that all tests share."""
    server = started(tmp_path_factory.mktemp("api-server"))
    yield server
    server.kill()
