"""Serving: certificates that change while requests are answered, stopping, readiness, and certificates of its own."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest
from cryptography import x509

from admission.place import pod, rule
from evil_registry.scripts import delay
from sealgate.admission import certificates
from sealgate.errors import KeyMaterialError, UsageError

NOW = 1_800_000_000.0


def test_a_new_certificate_is_served_without_a_dropped_request(start, scene, signed, authority, tmp_path):
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    shutil.copy(start.issued.certificate, certificate)
    shutil.copy(start.issued.key, key)
    place = start(rule(signed), tls_cert=str(certificate), tls_key=str(key))
    old = place.connect()
    place.ask("/validate", pod(scene.name), connection=old).is_allowed()
    serial = _serial(old)
    problems: list[object] = []
    done = threading.Event()

    def keep_asking():
        while not done.is_set():
            try:
                place.validate(pod(scene.name)).is_allowed()
            except BaseException as error:  # noqa: BLE001 - any of them is a dropped request
                problems.append(error)

    asking = threading.Thread(target=keep_asking)
    asking.start()
    issued = authority.issue("127.0.0.1", "localhost")
    shutil.copy(issued.certificate, certificate)  # between the two writes they do not belong together
    place.running.renew()
    assert place.metric("sealgate_certificate_load_failures_total") == 1
    assert b"cannot be used" in place.get("/readyz").body
    shutil.copy(issued.key, key)
    place.running.renew()
    new = place.connect()
    place.ask("/validate", pod(scene.name), connection=new).is_allowed()
    assert _serial(new) != serial
    place.ask("/validate", pod(scene.name), connection=old).is_allowed()  # it goes on with the old one
    assert _serial(old) == serial
    certificate.write_text("broken")
    place.running.renew()
    place.validate(pod(scene.name)).is_allowed()
    done.set()
    asking.join(30)
    assert not problems
    assert [line["event"] for line in place.log() if line["event"].startswith("certificate")] == [
        "certificate-broken", "certificate-changed", "certificate-broken",
    ]  # fmt: skip
    old.close()
    new.close()


def test_a_certificate_that_nobody_renews_is_told_before_it_ends_and_after(start, scene, signed):
    place = start(rule(signed))
    assert b"serving certificate" not in place.get("/readyz").body
    said = [("certificate-ends-soon", "warning", b"ends at 20"), ("certificate-ended", "error", b"ended at 20")]
    for ahead, (event, level, shown) in zip((23 * 3600, 25 * 3600), said, strict=True):
        place.clock.ahead = ahead
        for _ in range(2):
            place.running.renew()
        lines = [(line["event"], line["level"]) for line in place.log() if line["event"].startswith("certificate")]
        assert lines[-1] == (event, level)
        assert len(lines) == said.index((event, level, shown)) + 1  # once
        assert shown in place.get("/readyz").body


def test_a_certificate_that_has_ended_does_not_take_the_place_of_a_good_one(start, scene, signed, authority, tmp_path):
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    shutil.copy(start.issued.certificate, certificate)
    shutil.copy(start.issued.key, key)
    place = start(rule(signed), tls_cert=str(certificate), tls_key=str(key))
    for expired in (True, False):
        issued = authority.issue("127.0.0.1", "localhost", expired=expired)
        shutil.copy(issued.certificate, certificate)
        shutil.copy(issued.key, key)
        place.running.renew()
        place.validate(pod(scene.name)).is_allowed()
        assert (b"has ended" in place.get("/readyz").body) is expired
    events = [line["event"] for line in place.log() if line["event"].startswith("certificate")]
    assert events == ["certificate-broken", "certificate-changed"]


def _serial(connection):
    return x509.load_der_x509_certificate(connection.sock.getpeercert(True)).serial_number


def test_stopping_lets_what_is_being_answered_end(start, scene, signed):
    place = start(rule(signed), drain_seconds=1.0)
    scene.registry.on("GET", "*/referrers/*", delay(1.5))
    found = []
    asking = threading.Thread(target=lambda: found.append(place.validate(pod(scene.name), timeout="20s")))
    asking.start()
    while not scene.registry.asked("GET", "*/referrers/*"):
        time.sleep(0.02)
    place.running.stop()
    ready = place.get("/readyz")
    assert (ready.status, b'"draining": true' in ready.body) == (503, True)
    assert place.get("/healthz").status == 200
    asking.join(30)
    found[0].is_allowed()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            place.get("/healthz")
        except OSError:
            return
        time.sleep(0.05)
    raise AssertionError("it did not stop")


def test_who_keeps_connections_open_loses_no_request_when_it_stops(start, scene, signed):
    place = start(rule(signed), drain_seconds=1.0)
    found: list[str] = []

    def keep_asking():
        connection = place.connect()
        connection.connect()
        while True:
            answer = place.ask("/validate", pod(scene.name), connection=connection)
            answer.is_allowed()
            if answer.headers.get("connection") == "close":
                found.append("told to go elsewhere")
                return

    def asked() -> None:
        try:
            keep_asking()
        except BaseException as error:  # noqa: BLE001 - any of them is a dropped request
            found.append(repr(error))

    asking = [threading.Thread(target=asked) for _ in range(4)]
    for each in asking:
        each.start()
    while place.metric("sealgate_reviews_total", outcome="admit") < 20:
        time.sleep(0.02)
    assert place.get("/healthz").headers.get("connection") != "close"
    place.running.stop()
    assert place.get("/readyz").headers["connection"] == "close"
    for each in asking:
        each.join(30)
    assert found == ["told to go elsewhere"] * 4
    deadline = time.monotonic() + 20
    while place.log()[-1]["event"] != "stopped" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [line["event"] for line in place.log() if line["event"] != "review"] == ["draining", "stopped"]


def test_older_tls_is_not_spoken(place):
    context = ssl.create_default_context(cafile=None)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    connection = place.connect(context)
    connection.connect()
    assert connection.sock.version() in {"TLSv1.2", "TLSv1.3"}
    connection.close()
    own = certificates.new_context(None)
    assert own.minimum_version == ssl.TLSVersion.TLSv1_2


def test_an_authority_of_its_own_issues_and_says_when_it_is_time(tmp_path):
    made = certificates.make_authority("sealgate-webhook", now=NOW)
    pair = certificates.issue(made, ["sealgate.gate.svc", "sealgate.gate.svc.cluster.local"], now=NOW)
    leaf, above = x509.load_pem_x509_certificates(pair.chain)
    leaf.verify_directly_issued_by(above)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["sealgate.gate.svc", "sealgate.gate.svc.cluster.local"]
    assert above.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    context = certificates.new_context(None)
    assert certificates.load(context, pair) == leaf.not_valid_after_utc.timestamp()
    day = 86_400
    assert not certificates.is_due(pair.chain, now=NOW)
    assert not certificates.is_due(pair.chain, now=NOW + 59 * day)
    assert certificates.is_due(pair.chain, now=NOW + 61 * day)
    assert certificates.is_due(pair.chain, now=NOW - day)  # a clock that was wrong when it was made
    assert certificates.is_due(b"nothing", now=NOW)
    newer = certificates.make_authority("sealgate-webhook", now=NOW + 300 * day)
    both = certificates.bundle([newer, made], now=NOW + 301 * day)
    assert both == newer.certificate + made.certificate
    assert certificates.bundle([newer, made], now=NOW + 366 * day) == newer.certificate


def test_pairs_that_do_not_belong_together_leave_the_context_as_it_was():
    made = certificates.make_authority("a", now=NOW)
    first = certificates.issue(made, ["a"], now=NOW)
    second = certificates.issue(made, ["a"], now=NOW)
    context = certificates.new_context(None)
    certificates.load(context, first)
    for pair in (
        certificates.Pair(first.chain, second.key), certificates.Pair(b"", first.key), certificates.Pair(first.chain, b""),
        certificates.Pair(first.key, first.chain[:40]),
    ):  # fmt: skip
        with pytest.raises(KeyMaterialError) as caught:
            certificates.load(context, pair)
        assert caught.value.code == "key-invalid"
        assert "PRIVATE" not in caught.value.message
    with pytest.raises(UsageError):
        certificates.issue(made, [], now=NOW)


def test_encrypted_keys_are_refused_and_ask_nobody_for_a_password():
    from cryptography.hazmat.primitives import serialization

    made = certificates.make_authority("a", now=NOW)
    pair = certificates.issue(made, ["a"], now=NOW)
    key = serialization.load_pem_private_key(pair.key, None)
    locked = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )
    with pytest.raises(KeyMaterialError):
        certificates.load(certificates.new_context(None), certificates.Pair(pair.chain, locked))


def test_an_answer_is_one_record_and_the_next_one_comes_on_the_same_connection(start, scene, signed):
    place = start(rule(signed))
    connection = place.connect()
    connection.connect()
    for path in ("/healthz", "/readyz", "/healthz"):
        connection.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head, _, body = connection.sock.recv(65536).partition(b"\r\n\r\n")  # what one read gives is one record
        assert head.startswith(b"HTTP/1.1 200")
        assert f"content-length: {len(body)}".encode() in head
        assert body
    connection.sock.sendall(b"HEAD /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    head, _, body = connection.sock.recv(65536).partition(b"\r\n\r\n")  # a head that no body follows goes out as well
    assert head.startswith(b"HTTP/1.1 200")
    assert body == b""
    assert connection.sock.recv(65536) == b""
    connection.close()


def test_without_a_host_it_listens_at_every_address_of_both_kinds(start, signed):
    place = start(rule(signed), listen=":0")
    port = int(place.running.address.rpartition(":")[2])
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    hosts = ["127.0.0.1", "::1"] if socket.has_dualstack_ipv6() and _has_loopback_of_ipv6() else ["127.0.0.1"]
    for host in hosts:
        with context.wrap_socket(socket.create_connection((host, port), 20)) as sock:
            sock.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert sock.recv(12) == b"HTTP/1.1 200"


def _has_loopback_of_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_every_metric_and_every_event_of_the_log_is_on_its_page(place, scene):
    page = (Path(__file__).parents[2] / "docs" / "admission.md").read_text(encoding="utf-8")
    place.validate(pod(scene.name))
    place.validate(pod(f"{scene.registry.host}/team/app:evil"))
    families: dict[str, set[str]] = {}
    for line in place.get("/metrics").body.decode().splitlines():
        found = re.fullmatch(r"(sealgate_\w+?)(?:_bucket|_count|_sum)?(?:\{(.*)\})? \S+", line)
        if found is not None and not found[1].endswith("_created"):
            names = set(re.findall(r'(\w+)="', found[2] or "")) - {"le"}
            families.setdefault(found[1], set()).update(names)
    said = {
        name: set(labels.split(",")) - {""}
        for name, labels in re.findall(r"^\| `(sealgate_\w+)(?:\{(.*?)\})?` \|", page, re.MULTILINE)
    }
    assert families
    assert families.items() <= said.items()
    events = set(
        re.findall(r"`([a-z-]+)`", "".join(re.findall(r"^\| (`[a-z-]+`(?:, `[a-z-]+`)*) \|", page, re.MULTILINE)))
    )
    for file in ("admission/server.py", "admission/webhook.py", "cli/admission.py"):
        source = (Path(certificates.__file__).parents[1] / file).read_text(encoding="utf-8")
        assert set(re.findall(r"journal\.say\(\s*\"([a-z-]+)\"", source)) <= events


def test_K22_ways_to_run_code_without_an_image_are_told():
    page = (Path(__file__).parents[2] / "docs" / "admission.md").read_text(encoding="utf-8")
    told = page.partition("## What it does not see")[2]
    for way in ("ConfigMap", "hostPath", "kubectl cp", "exec", "Static Pods"):
        assert way in told
