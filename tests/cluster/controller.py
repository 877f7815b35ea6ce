"""What runs the webhook in a cluster of the tests, where no controller and no kubelet does, and how it is installed there."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from cluster.place import Cluster, until
from peers.clusters import ApiServer
from peers.programs import Program

HOOKS = ("mutatingwebhookconfiguration", "validatingwebhookconfiguration")
_OLDER = Path(__file__).with_name("older.py")


def why_nobody_listens() -> str | None:
    """Why no process can stand at port 443 of a Service's address here."""
    try:
        socket.create_server(("127.64.0.1", 443)).close()
    except OSError as error:
        return f"nobody may listen at port 443 of a Service's address here: {error}"
    return None


def words(server: ApiServer) -> list[str]:
    """The command `sealgate` for this API server."""
    if "policy/v1/poddisruptionbudgets" in server.resources:
        return [str(Path(sys.executable).with_name("sealgate"))]
    return [sys.executable, str(_OLDER)]


def command(sealgate: Program, server: ApiServer) -> Program:
    """The same as a program of the tests."""
    first, *rest = words(server)
    return Program(Path(first), Path(tempfile.mkdtemp(dir=sealgate._scratch)), before=rest)


class Controller(threading.Thread):
    """What runs the Deployment where nothing else does: a process with its arguments, as its service account, at its Service."""

    def __init__(self, home: Cluster, sealgate: Program, folder: Path) -> None:
        super().__init__(daemon=True)
        self.registered_early = False
        self.process: subprocess.Popen[bytes] | None = None
        self.failure: BaseException | None = None
        self._ended = threading.Event()
        self._home = home
        self._sealgate = sealgate
        self._folder = folder

    def run(self) -> None:
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001 - told by the test, which waits for what this makes
            self.failure = error

    def _run(self) -> None:
        home = self._home
        until(lambda: self._ended.is_set() or home.kubectl("get", "service", "sealgate").returncode == 0, seconds=100)
        if self._ended.is_set():
            return
        address = home.get("service", "sealgate")["spec"]["clusterIP"]
        [container] = home.get("deployment", "sealgate")["spec"]["template"]["spec"]["containers"]
        arguments = container["args"]
        arguments[arguments.index("--listen") + 1] = f"{address}:443"
        with (self._folder / "errors").open("wb") as errors:
            self.process = self._sealgate.popen(
                *arguments, "--kubeconfig", self._kubeconfig(), "--allow-local-registries", "--port-file", self._folder / "port",
                stdout=errors, stderr=errors,
            )  # fmt: skip
        until(lambda: self.process.poll() is not None or (self._folder / "port").is_file(), seconds=60)
        assert self.process.poll() is None, self.said()
        self.registered_early = any(home.kubectl("get", kind, "sealgate").returncode == 0 for kind in HOOKS)
        found = home.get("deployment", "sealgate")
        generation, count = found["metadata"]["generation"], found["spec"]["replicas"]
        status = {"observedGeneration": generation, "replicas": count, "updatedReplicas": count, "readyReplicas": count}
        path = "/apis/apps/v1/namespaces/sealgate/deployments/sealgate/status"
        home.kubectl("replace", "--raw", path, "-f", "-", given=found | {"status": status}, check=True)

    def stop(self) -> None:
        """End the process, and wait for no Deployment any more."""
        self._ended.set()
        self.join(100)
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.communicate(timeout=30)

    def said(self) -> str:
        path = self._folder / "errors"
        return path.read_text(encoding="utf-8") if path.is_file() else "nothing"

    def _kubeconfig(self) -> Path:
        """Of the service account, with the rights that the installation gave it and no others."""
        document = json.loads(self._home.server.kubeconfig.read_text(encoding="utf-8"))
        token = self._home.kubectl("create", "token", "sealgate", check=True).stdout.strip()
        document["users"] = [{"name": "admin", "user": {"token": token}}]
        path = self._folder / "kubeconfig.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        return path
