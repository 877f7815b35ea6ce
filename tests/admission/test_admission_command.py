"""`sealgate admission serve` with policies in files, as operators run it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from admission.place import patched, pod, recorded, updated
from bypasses.scene import run
from peers.images import push_image
from policy.seed import seed


class Process:
    """The command, running."""

    def __init__(self, folder: Path, authority: Any, *arguments: str) -> None:
        issued = authority.issue("127.0.0.1", "localhost")
        self._port_file = folder / "port"
        self._context = ssl.create_default_context(cafile=str(authority.certificate))
        self.log = folder / "log"
        command = [
            str(Path(sys.executable).parent / "sealgate"), "admission", "serve", "--listen", "127.0.0.1:0",
            "--tls-cert", str(issued.certificate), "--tls-key", str(issued.key), "--port-file", str(self._port_file),
            "--drain", "0.2", *arguments,
        ]  # fmt: skip
        with self.log.open("wb") as log, (folder / "err").open("wb") as err:
            self.process = subprocess.Popen(command, cwd=folder, env={"HOME": str(folder)}, stdout=log, stderr=err)
        deadline = time.monotonic() + 30
        while not self._port_file.exists():
            assert self.process.poll() is None, (folder / "err").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        self.port = int(self._port_file.read_text())

    def ask(self, path: str, review: dict[str, Any] | None = None) -> Any:
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=self._context)
        try:
            if review is None:
                connection.request("GET", path)
            else:
                connection.request(
                    "POST", f"{path}?timeout=10s", json.dumps(review), {"Content-Type": "application/json"}
                )
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


def test_the_seeds_policy_from_a_directory_admits_the_signed_pod_with_its_digest_and_refuses_the_other(
    docker_registry, sealgate, authority, tmp_path
):
    signed = push_image(docker_registry, "team/app", tag="v1")
    unsigned = push_image(docker_registry, "team/other", tag="v1")
    sealgate("generate-key-pair", env={"COSIGN_PASSWORD": ""}, cwd=tmp_path)
    sealgate("sign", "--key", "cosign.key", "--yes", signed.reference, env={"COSIGN_PASSWORD": ""}, cwd=tmp_path)
    policies = tmp_path / "policies"
    policies.mkdir()
    (policies / "check.yaml").write_text(seed((tmp_path / "cosign.pub").read_text(), f"{docker_registry}/*"))
    serving = Process(tmp_path, authority, "--policies", str(policies), "--allow-local-registries")
    try:
        created = pod(signed.tagged)
        status, document = serving.ask("/mutate", created)
        assert (status, document["response"]["allowed"]) == (200, True), document
        import base64

        patch = json.loads(base64.b64decode(document["response"]["patch"]))
        assert patch[0]["value"] == f"{signed.tagged}@{signed.digest}"
        assert serving.ask("/validate", patched(created, patch))[1]["response"]["allowed"] is True
        refused = serving.ask("/validate", pod(unsigned.reference))[1]["response"]
        assert refused["allowed"] is False
        for part in (unsigned.reference, "check-image-signature/verify-signature", "[no-signature]"):
            assert part in refused["status"]["message"]
        ready, details = serving.ask("/readyz")
        assert (ready, details["policies"]["rules"]) == (200, 1)
        assert "transparency log: no entry is asked for" in details["transparencyLog"]
    finally:
        code = serving.stop()
    assert code == 0
    events = [json.loads(line)["event"] for line in serving.log.read_text().splitlines()]
    assert events[0] == "started"
    assert events.count("review") == 3
    assert "transparency log: no entry is asked for" in (tmp_path / "err").read_text()


def test_local_registries_are_not_asked_unless_the_operator_allows_it(docker_registry, authority, tmp_path):
    image = push_image(docker_registry, "team/app", tag="v1")
    from sealgate.keys.private import PrivateKey

    policies = tmp_path / "policies"
    policies.mkdir()
    pem = PrivateKey.generate().public_key.pem().decode()
    (policies / "check.yaml").write_text(seed(pem, f"{docker_registry}/*"))
    serving = Process(tmp_path, authority, "--policies", str(policies))
    try:
        refused = serving.ask("/validate", pod(image.reference))[1]["response"]
        assert refused["allowed"] is False
        assert "[address-refused]" in refused["status"]["message"]
    finally:
        assert serving.stop() == 0


def test_K19_no_option_lets_link_local_addresses_be_asked(docker_registry, sealgate, authority, tmp_path):
    image = push_image(docker_registry, "team/app", tag="v1")
    sealgate("generate-key-pair", env={"COSIGN_PASSWORD": ""}, cwd=tmp_path)
    sealgate("sign", "--key", "cosign.key", "--yes", image.reference, env={"COSIGN_PASSWORD": ""}, cwd=tmp_path)
    (tmp_path / "check.yaml").write_text(seed((tmp_path / "cosign.pub").read_text(), "*"))
    serving = Process(tmp_path, authority, "--policies", str(tmp_path / "check.yaml"), "--allow-local-registries")
    try:
        assert serving.ask("/validate", pod(image.reference))[1]["response"]["allowed"] is True
        for host in ("169.254.169.254", "100.100.100.200", "[fe80::1]", "[::ffff:169.254.169.254]", "[fd00:ec2::254]"):
            refused = serving.ask("/validate", pod(f"{host}/team/app@{image.digest}"))[1]["response"]
            assert refused["allowed"] is False
            assert any(code in refused["status"]["message"] for code in ("[address-refused]", "[reference-invalid]"))
        message = serving.ask("/validate", pod(f"169.254.169.254/team/app@{image.digest}"))[1]["response"]["status"]
        assert "[address-refused]" in message["message"]
    finally:
        assert serving.stop() == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--insecure-http", "--listen", "0.0.0.0:0"], 2, "not on loopback"),
        ([], 2, "--tls-cert"),
        (["--insecure-http", "--client-ca", "x"], 2, "exclude each other"),
        (["--insecure-http", "--client-name", "x"], 2, "--client-ca"),
        (["--insecure-http", "--own-image", "team@sha256:00"], 2, "--own-image"),
        (["--insecure-http", "--review-timeout", "31"], 2, "--review-timeout"),
        (["--insecure-http", "--allow-namespace", "team"], 2, "--policies cluster:"),
        (["--insecure-http", "--listen", "127.0.0.1:0", "--port-file", "missing/port"], 2, "--port-file"),
        (["--insecure-http", "--tlog", "require"], 2, "no log is believed in"),
        (["--tls-cert", "missing.pem", "--tls-key", "missing.pem"], 1, "there is no file"),
    ],
)
def test_settings_that_would_be_unsafe_are_refused_before_anything_listens(arguments, code, said, tmp_path):
    from sealgate.keys.private import PrivateKey

    (tmp_path / "check.yaml").write_text(
        seed(PrivateKey.generate().public_key.pem().decode(), "registry.example.com/*")
    )
    done = run(
        ["admission", "serve", "--policies", str(tmp_path / "check.yaml"), "--listen", "127.0.0.1:0", *arguments],
        environ={"HOME": str(tmp_path)},
    )
    assert done.exit_code == code, done.stderr
    assert said in done.stderr, done.stderr
    assert os.listdir(tmp_path) == ["check.yaml"]


def test_policies_that_cannot_be_read_start_nothing(tmp_path):
    (tmp_path / "check.yaml").write_text(
        "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nmetadata: {name: x}\nspec: {wrong: 1}\n"
    )
    done = run(["admission", "serve", "--insecure-http", "--policies", str(tmp_path)], environ={"HOME": str(tmp_path)})
    assert (done.exit_code, "[policy-invalid]" in done.stderr) == (2, True), done.stderr


def test_K01_a_policy_about_pods_is_about_their_ephemeral_containers(start, scene, tmp_path):
    from sealgate.admission.standing import Loaded
    from sealgate.gate import policies
    from sealgate.policy.attestors import Settings

    file = tmp_path / "check.yaml"
    file.write_text(seed(scene.signer.path.read_text(), f"{scene.registry.host}/*"))
    place = start(load=lambda: Loaded(policies.load([str(file)], Settings()), {}))
    evil = f"{scene.registry.host}/team/app@{scene.evil.digest}"

    def added(image: str) -> dict[str, Any]:
        def change(new: dict[str, Any]) -> None:
            new["spec"]["ephemeralContainers"] = [{"name": "debug", "image": image}]

        return updated(pod(scene.name), change, subResource="ephemeralcontainers")

    place.validate(added(scene.name)).is_allowed()
    place.validate(added(evil)).is_denied("no-signature")
    resized = updated(
        pod(scene.name), lambda new: new["spec"]["containers"][0].update(image=evil), subResource="resize"
    )
    place.validate(resized).is_denied("no-signature")
    templates = recorded("06-")
    templates["request"]["object"]["spec"]["template"]["spec"]["containers"][0]["image"] = evil
    place.validate(templates).is_denied("no-signature")
    volume = pod(scene.name, volumes=[{"name": "v", "image": {"reference": evil}}])
    place.validate(volume).is_denied("no-signature")
