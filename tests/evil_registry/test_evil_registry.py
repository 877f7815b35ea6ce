"""The hostile registry itself: honest until told otherwise, also towards stock clients."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request

from evil_registry import scripts
from evil_registry.honest import INDEX, MANIFEST, digest_of
from peers.programs import require


def ask(registry, target: str, method: str = "GET", body: bytes | None = None, **headers: str):
    request = urllib.request.Request(f"http://{registry.host}{target}", data=body, method=method)
    for name, value in headers.items():
        request.add_header(name.replace("_", "-"), value)
    try:
        with urllib.request.build_opener(NoRedirects).open(request, timeout=10) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


class NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def test_an_image_is_served_by_tag_and_digest(evil_registry):
    registry = evil_registry()
    image = registry.honest.put_image("a/b", "v1")
    for which in ("v1", image.digest):
        status, headers, body = ask(registry, f"/v2/a/b/manifests/{which}")
        assert (status, body) == (200, image.raw)
        assert headers["Docker-Content-Digest"] == digest_of(body) == image.digest
        assert headers["Content-Type"] == MANIFEST
    layer = image.document["layers"][0]["digest"]
    assert ask(registry, f"/v2/a/b/blobs/{layer}")[2] == b"layer"
    status, headers, body = ask(registry, f"/v2/a/b/blobs/{layer}", "HEAD")
    assert (status, headers["Content-Length"], body) == (200, "5", b"")
    assert ask(registry, "/v2/a/b/manifests/v2")[0] == 404
    assert ask(registry, "/v2/other/manifests/v1")[0] == 404


def test_uploads_in_one_go_and_in_pieces(evil_registry):
    registry = evil_registry()
    digest = digest_of(b"hello world")
    assert ask(registry, f"/v2/a/blobs/uploads/?digest={digest}", "POST", b"hello world")[0] == 201
    status, headers, _ = ask(registry, "/v2/b/blobs/uploads/", "POST", b"")
    assert status == 202
    location = headers["Location"]
    assert ask(registry, location, "PATCH", b"hello ", Content_Range="0-5")[1]["Range"] == "0-5"
    assert ask(registry, location, "PATCH", b"hello ", Content_Range="0-5")[0] == 416
    assert ask(registry, f"{location}?digest={digest}", "PUT", b"world")[0] == 201
    assert registry.honest.blobs["b", digest] == b"hello world"
    assert ask(registry, f"/v2/c/blobs/uploads/?mount={digest}&from=a", "POST", b"")[0] == 201
    assert ask(registry, f"/v2/c/blobs/uploads/?digest={digest}", "POST", b"other")[0] == 400


def test_referrers_with_filter_and_without_the_api(evil_registry):
    registry, old = evil_registry(), evil_registry(referrers_api=False)
    for each in (registry, old):
        image = each.honest.put_image("a", "v1")
        made = each.honest.put_referrer("a", image, b"{}", artifact_type="application/x")
        each.honest.put_referrer("a", image, b"[]", artifact_type="application/y")
    status, headers, body = ask(registry, f"/v2/a/referrers/{image.digest}")
    assert (status, headers["Content-Type"], len(json.loads(body)["manifests"])) == (200, INDEX, 2)
    _, headers, body = ask(registry, f"/v2/a/referrers/{image.digest}?artifactType=application/x")
    assert [entry["digest"] for entry in json.loads(body)["manifests"]] == [made.digest]
    assert headers["OCI-Filters-Applied"] == "artifactType"
    assert ask(old, f"/v2/a/referrers/{image.digest}")[0] == 404


def test_tags_in_pages_and_deletion(evil_registry):
    registry = evil_registry()
    for tag in ("c", "a", "b"):
        image = registry.honest.put_image("x", tag)
    assert json.loads(ask(registry, "/v2/x/tags/list")[2])["tags"] == ["a", "b", "c"]
    _, headers, body = ask(registry, "/v2/x/tags/list?n=2")
    assert json.loads(body)["tags"] == ["a", "b"]
    following = headers["Link"].partition("<")[2].partition(">")[0]
    assert json.loads(ask(registry, following)[2])["tags"] == ["c"]
    assert ask(registry, f"/v2/x/manifests/{image.digest}", "DELETE")[0] == 202
    assert ask(registry, "/v2/x/tags/list")[0] == 404


def test_scripts_override_by_method_path_accept_and_number(evil_registry):
    registry = evil_registry()
    image = registry.honest.put_image("a", "v1")
    registry.on("GET", "/v2/a/manifests/*", scripts.altered(body=b"{}"), accept="index")
    registry.on("GET", "/v2/a/manifests/*", scripts.fail(500), nth=2)
    registry.on("HEAD", "/v2/a/manifests/v1", scripts.altered(headers={"docker-content-digest": "sha256:lie"}))
    assert ask(registry, "/v2/a/manifests/v1")[2] == image.raw
    assert ask(registry, "/v2/a/manifests/v1")[0] == 500
    assert ask(registry, "/v2/a/manifests/v1")[2] == image.raw
    _, headers, body = ask(registry, "/v2/a/manifests/v1", Accept="application/index")
    assert (body, headers["Docker-Content-Digest"], headers["Content-Length"]) == (b"{}", image.digest, "2")
    assert ask(registry, "/v2/a/manifests/v1", "HEAD")[1]["Docker-Content-Digest"] == "sha256:lie"
    assert len(registry.asked("GET", "/v2/a/*")) == 4
    assert registry.asked("HEAD")[0].path == "/v2/a/manifests/v1"


def test_scripts_lie_as_they_say(evil_registry):
    registry = evil_registry()
    registry.honest.put_image("a", "v1")

    def said(script: scripts.Script, target: str = "/v2/a/tags/list"):
        registry.on("*", "*", script)
        return ask(registry, target)

    assert said(scripts.redirect("/next/{n}"))[1]["Location"] == "/next/1"
    assert said(scripts.challenge("http://169.254.169.254/"))[1]["WWW-Authenticate"] == (
        'Bearer realm="http://169.254.169.254/",service="test"'
    )
    status, headers, _ = said(scripts.throttle("30"))
    assert (status, headers["Retry-After"]) == (429, "30")
    assert said(scripts.reply(json={"token": "x"}))[2] == b'{"token": "x"}'
    assert said(scripts.gzipped(3))[1]["Content-Encoding"] == "gzip, gzip, gzip"
    assert "last=1" in said(scripts.endless_pages())[1]["Link"]
    sequence = scripts.sequence(scripts.fail(500), scripts.honest())
    assert [said(sequence)[0], ask(registry, "/v2/a/tags/list")[0], ask(registry, "/v2/a/tags/list")[0]] == [
        500,
        200,
        200,
    ]


def test_a_trap_counts_whoever_comes(evil_registry):
    trap = evil_registry.trap()
    assert (trap.requests, trap.connections) == ([], 0)
    assert ask(trap, "/token", Authorization="Basic c2VjcmV0")[0] == 401
    assert trap.requests[0].headers["authorization"] == "Basic c2VjcmV0"


def test_it_ends_at_once_whatever_it_was_doing(evil_registry):
    import socket

    from evil_registry.server import EvilRegistry

    registry = EvilRegistry()
    registry.on("*", "/stall", scripts.stall())
    registry.on("*", "/endless", scripts.endless())
    socks = [socket.create_connection((registry.address, registry.port)) for _ in range(3)]
    socks[0].sendall(b"GET /stall HTTP/1.1\r\n\r\n")
    socks[1].sendall(b"GET /endless HTTP/1.1\r\n\r\n")
    while len(registry.requests) < 2:
        time.sleep(0.01)
    began = time.monotonic()
    registry.close()
    assert time.monotonic() - began < 5
    assert not any(thread.is_alive() for thread in registry._threads)
    for sock in socks:
        sock.close()


def test_stock_clients_find_it_honest(evil_registry, tmp_path):
    """crane pushes, lists, copies and pulls; oras attaches and discovers through the referrers API."""
    registry = evil_registry()
    image = registry.honest.put_image("app", "v1")
    environ = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}

    def run(name: str, *arguments: str) -> str:
        command = [str(require(name).path), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environ, cwd=tmp_path).stdout

    assert run("crane", "digest", f"{registry.host}/app:v1").strip() == image.digest
    run("crane", "copy", f"{registry.host}/app:v1", f"{registry.host}/copy:v2")
    assert run("crane", "ls", f"{registry.host}/copy").split() == ["v2"]
    assert registry.honest.tags["copy", "v2"] == image.digest
    (tmp_path / "note.txt").write_text("a note")
    attach = ("--plain-http", f"{registry.host}/app:v1", "note.txt:text/plain", "--artifact-type", "application/x.note")
    run("oras", "attach", *attach)
    found = json.loads(run("oras", "discover", "--plain-http", "--format", "json", f"{registry.host}/app:v1"))
    entries = found.get("referrers") or found.get("manifests")
    assert [entry["artifactType"] for entry in entries] == ["application/x.note"]
