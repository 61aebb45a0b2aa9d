"""A hand that plays the kubelet for real: a pod's command runs as a process here, and its log is served as a kubelet serves it."""

import os
import ssl
import subprocess
import sys
import threading
import uuid
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from operator_process import NOW, PATHS, Ground, owned

MERGE = "application/merge-patch+json"


class LocalKubelet:
    """A node on the API server: what a Job wants run runs here, with the Secret that it names."""

    def __init__(self, ground: Ground, folder: Path) -> None:
        self._ground, self._folder, self.name = ground, folder, f"node-{uuid.uuid4().hex[:8]}"
        (folder / "logs").mkdir()
        self._server = _log_server(ground, folder / "logs")
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        ground.ask("POST", "/api/v1/nodes", {"metadata": {"name": self.name}})
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._server.server_port}},
        }
        ground.ask("PATCH", f"/api/v1/nodes/{self.name}/status", {"status": status}, MERGE)

    def close(self) -> None:
        """Take the node away."""
        self._server.shutdown()
        self._server.server_close()
        self._ground.ask("DELETE", f"/api/v1/nodes/{self.name}")

    def work_off(self, run: str, steps: tuple[str, ...], attempt: int = 1) -> None:
        """Run the pods of each step of a run as soon as its Job is there."""
        uid = self._ground.run(run)["metadata"]["uid"]
        for step in steps:
            self.run(self._ground.until(lambda step=step: self._job(uid, step, attempt)))

    def _job(self, uid: str, step: str, attempt: int) -> dict[str, Any] | None:
        jobs = (job for job in self._ground.jobs(step) if owned(job, uid))
        return next((job for job in jobs if job["metadata"]["labels"]["dto.run/attempt"] == str(attempt)), None)

    def run(self, job: dict[str, Any]) -> None:
        """Run all pods of a Job to their end, and have it complete as its controller does."""
        pods = job["spec"].get("completions", 1)
        for index in range(pods):
            pod = self._ground.pod(job, index)
            binding = {"metadata": {"name": pod}, "target": {"kind": "Node", "name": self.name}}
            self._ground.ask("POST", self._ground.path("/api/v1", "pods", pod, "/binding"), binding)
            code, words = self._ran(job, pod, index)
            self._ground.ended(pod, words, code)
        words = {"status": "True", "reason": "CompletionsReached", "message": "done", "lastTransitionTime": NOW}
        complete = {
            "conditions": [{"type": kind, **words} for kind in ("SuccessCriteriaMet", "Complete")],
            "completionTime": NOW,
            **dict.fromkeys(("active", "ready", "terminating"), 0),
        }
        if job["spec"].get("completionMode") == "Indexed":
            complete["completedIndexes"] = f"0-{pods - 1}" if pods > 1 else "0"
        self._ground.job_status(job, {**complete, "succeeded": pods})

    def _ran(self, job: dict[str, Any], pod: str, index: int) -> tuple[int, str]:
        template = job["spec"]["template"]
        container = template["spec"]["containers"][0]
        words, run = self._folder / f"{pod}.words", self._folder / f"{pod}.json"
        words.touch()
        run.write_text(template["metadata"]["annotations"].get("dto.run/run", ""))
        told = {one["name"]: self._value(one) for one in container["env"]}
        told |= {"JOB_COMPLETION_INDEX": str(index), "DTO_TERMINATION_LOG": str(words), "DTO_METRICS_PORT": "0"}
        told |= {"PATH": os.environ["PATH"], "PYTHONPATH": PATHS, "OMP_NUM_THREADS": "1"}
        arguments = [str(run) if one == "/etc/dto/run.json" else one for one in container["args"]]
        with (self._folder / "logs" / pod).open("wb") as log:
            command = ["setpriv", "--pdeathsig", "KILL", "--", sys.executable, "-m", "dto_jobs", *arguments]
            done = subprocess.run(command, check=False, stdout=log, stderr=log, env=told)
        return done.returncode, words.read_text()

    def _value(self, variable: Mapping[str, Any]) -> str:
        if "value" in variable:
            return str(variable["value"]).replace("/scratch", str(self._folder / "scratch"))
        source = variable["valueFrom"]["secretKeyRef"]
        held = self._ground.server.kubectl(
            *("get", "secret", source["name"], f"--namespace={self._ground.namespace}"),
            f"--output=go-template={{{{index .data {source['key']!r} | base64decode}}}}".replace("'", '"'),
        )
        assert held.returncode == 0, held.stderr
        return held.stdout


def _log_server(ground: Ground, logs: Path) -> ThreadingHTTPServer:
    """Return a server that answers as a kubelet does where it is asked for a container's log."""

    class Logs(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            pod = self.path.partition("?")[0].split("/")[3]
            content = (logs / pod).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Logs)
    certificate, key = ground.server.authority.certificate(
        f"kubelet-{uuid.uuid4().hex[:6]}", "/CN=kubelet", "IP:127.0.0.1"
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return server
