"""Uploads to the embedded registry: in one piece, in chunks, broken, mounted (OCI distribution specification 1.1)."""

import http.client
import json
import socket
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from peers.images import Client, digest_of
from sealgate import limits
from sealgate.oci.server import serve_in_thread

EMPTY = b"{}"
OCTETS = {"Content-Type": "application/octet-stream"}


class Served:
    """A registry over a directory of its own."""

    def __init__(self, directory: Path, host: str):
        self.directory = directory
        self.host = host
        self.client = Client(host)

    def __call__(self, method, path, body=b"", **headers):
        return self.client.request(method, path, body, {name.replace("_", "-"): text for name, text in headers.items()})

    def upload(self, repository="a") -> str:
        """Begin an upload; its path."""
        begun = self("POST", f"/v2/{repository}/blobs/uploads/")
        assert begun.status == 202
        assert begun.headers["docker-upload-uuid"] in begun.headers["location"]
        return begun.headers["location"]


def code(answer) -> str:
    """The specification's code of a refusal."""
    (error,) = json.loads(answer.body)["errors"]
    assert set(error) == {"code", "message", "detail"}
    return error["code"]


@pytest.fixture
def serve(tmp_path):
    """`serve(**options)`: a registry while the test lasts."""
    import contextlib

    with contextlib.ExitStack() as running:

        def start(directory=tmp_path / "registry", **options):
            return Served(directory, running.enter_context(serve_in_thread(directory, **options)))

        yield start


@pytest.fixture
def registry(serve):
    return serve()


# -- uploads


def test_an_upload_in_one_request(registry):
    digest = digest_of(b"data")
    answer = registry("POST", f"/v2/a/blobs/uploads/?digest={quote(digest)}", b"data", **OCTETS)
    assert (answer.status, answer.headers["location"]) == (201, f"/v2/a/blobs/{digest}")
    assert answer.headers["docker-content-digest"] == digest
    assert registry.client.get_blob("a", digest).body == b"data"


def test_an_upload_in_chunks(registry):
    path = registry.upload()
    first = registry("PATCH", path, b"01234", Content_Range="0-4", **OCTETS)
    assert (first.status, first.headers["range"]) == (202, "0-4")
    status = registry("GET", path)
    assert (status.status, status.headers["range"], status.headers["location"]) == (204, "0-4", path)
    second = registry("PATCH", path, b"56", Content_Range="5-6", **OCTETS)
    assert (second.status, second.headers["range"]) == (202, "0-6")
    done = registry("PUT", f"{path}?digest={digest_of(b'0123456789')}", b"789", Content_Range="7-9", **OCTETS)
    assert done.status == 201
    assert registry.client.get_blob("a", digest_of(b"0123456789")).body == b"0123456789"
    assert code(registry("GET", path)) == "BLOB_UPLOAD_UNKNOWN"


def test_chunks_out_of_order_are_416(registry):
    path = registry.upload()
    assert registry("PATCH", path, b"01234", Content_Range="0-4").status == 202
    for wrong in ("0-4", "6-10", "4-8", "5-3", "nonsense", "5", "-5-9"):
        refused = registry("PATCH", path, b"56789", Content_Range=wrong)
        assert (refused.status, refused.headers["range"], refused.headers["location"]) == (416, "0-4", path)
    assert registry("PUT", f"{path}?digest={digest_of(b'x')}", b"x", Content_Range="9-9").status == 416
    assert registry("PATCH", path, b"56789", Content_Range="5-9").headers["range"] == "0-9"
    assert registry("PUT", f"{path}?digest={digest_of(b'0123456789')}").status == 201


def test_a_range_that_lies_about_its_length_is_taken_back(registry):
    path = registry.upload()
    refused = registry("PATCH", path, b"012", Content_Range="0-9")
    assert (refused.status, code(refused), refused.headers["range"]) == (400, "SIZE_INVALID", "0-0")
    assert registry("PATCH", path, b"01", Content_Range="0-1").status == 202
    assert registry("PUT", f"{path}?digest={digest_of(b'01')}").status == 201


def test_a_broken_upload_goes_on_where_it_broke(registry):
    path = registry.upload()
    sock = socket.create_connection(registry.host.split(":"))
    sock.sendall(f"PATCH {path} HTTP/1.1\r\nHost: {registry.host}\r\nContent-Length: 10\r\n\r\n01234".encode())
    sock.close()
    for _ in range(100):
        if (answer := registry("GET", path)).headers["range"] == "0-4":
            break
        time.sleep(0.02)
    assert answer.headers["range"] == "0-4"
    assert registry("PATCH", path, b"56789", Content_Range="5-9").status == 202
    assert registry("PUT", f"{path}?digest={digest_of(b'0123456789')}").status == 201


@pytest.mark.parametrize("at_once", [True, False])
def test_a_wrong_digest_keeps_nothing(registry, at_once):
    wrong = digest_of(b"other")
    if at_once:
        refused = registry("POST", f"/v2/a/blobs/uploads/?digest={wrong}", b"data")
    else:
        path = registry.upload()
        assert registry("PATCH", path, b"data").status == 202
        for query in ("", "?digest=sha256:abc"):
            assert code(registry("PUT", path + query)) == "DIGEST_INVALID"
        refused = registry("PUT", f"{path}?digest={wrong}")
        assert registry("GET", path).status == 404
    assert (refused.status, code(refused)) == (400, "DIGEST_INVALID")
    assert registry("HEAD", f"/v2/a/blobs/{wrong}").status == 404
    assert not list(registry.directory.glob("a/blobs/*/*"))


def test_sha512(registry):
    import hashlib

    digest = "sha512:" + hashlib.sha512(b"data").hexdigest()
    assert registry("POST", f"/v2/a/blobs/uploads/?digest={digest}", b"data").status == 201
    assert registry.client.get_blob("a", digest).body == b"data"
    wrong = "sha512:" + hashlib.sha512(b"other").hexdigest()
    assert registry("POST", f"/v2/a/blobs/uploads/?digest={wrong}", b"data").status == 400


def test_an_upload_belongs_to_its_repository_and_can_be_cancelled(registry):
    path = registry.upload("a")
    assert registry("PATCH", path, b"data").status == 202
    assert registry("PUT", path.replace("/a/", "/b/") + f"?digest={digest_of(b'data')}").status == 404
    assert registry("DELETE", path).status == 204
    assert registry("PUT", f"{path}?digest={digest_of(b'data')}").status == 404
    assert registry("DELETE", path).status == 404
    assert registry("PATCH", "/v2/a/blobs/uploads/..%2f..%2fx", b"data").status in {400, 404}


def test_mounting(registry):
    digest = registry.client.put_blob("a", b"data")
    mounted = registry("POST", f"/v2/b/blobs/uploads/?mount={digest}&from=a")
    assert (mounted.status, mounted.headers["location"]) == (201, f"/v2/b/blobs/{digest}")
    assert registry.client.get_blob("b", digest).body == b"data"
    assert registry("POST", f"/v2/b/blobs/uploads/?mount={digest}").status == 201
    for query in (f"mount={digest_of(b'none')}&from=a", f"mount={digest}&from=none", f"mount={digest}"):
        begun = registry("POST", f"/v2/c/blobs/uploads/?{query}")
        assert begun.status == 202
        assert registry("DELETE", begun.headers["location"]).status == 204
    assert registry("POST", "/v2/c/blobs/uploads/?mount=abc&from=a").status == 400
    (registry.directory / f"b/blobs/sha256/{digest[7:]}").unlink()
    assert registry.client.get_blob("a", digest).body == b"data"


def test_D01_uploads_are_counted(registry, monkeypatch):
    monkeypatch.setattr(limits, "UPLOADS", 2)
    paths = [registry.upload() for _ in range(2)]
    refused = registry("POST", "/v2/a/blobs/uploads/")
    assert (refused.status, code(refused)) == (429, "TOOMANYREQUESTS")
    assert registry("DELETE", paths[0]).status == 204
    registry.upload()
    monkeypatch.setattr(limits, "UPLOAD_SECONDS", -1.0)
    registry.upload()
    assert registry("GET", paths[1]).status == 404


def test_D02_a_blob_is_bounded(registry, monkeypatch):
    monkeypatch.setattr(limits, "BLOB_BYTES", 10)
    assert registry("POST", f"/v2/a/blobs/uploads/?digest={digest_of(b'0' * 10)}", b"0" * 10).status == 201
    refused = registry("POST", f"/v2/a/blobs/uploads/?digest={digest_of(b'0' * 11)}", b"0" * 11)
    assert (refused.status, code(refused)) == (413, "SIZE_INVALID")


def test_D14_a_body_that_does_not_come(registry, monkeypatch):
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.1)
    path = registry.upload()
    connection = http.client.HTTPConnection(registry.host, timeout=10)
    connection.putrequest("PATCH", path)
    connection.putheader("Content-Length", "10")
    connection.endheaders()
    connection.send(b"01234")
    assert connection.getresponse().status == 408
    connection.close()
    assert registry("GET", path).headers["range"] == "0-4"


def test_uploads_leave_nothing_behind(tmp_path):
    directory = tmp_path / "registry"
    (directory / ".uploads/dead").mkdir(parents=True)
    (directory / ".uploads/dead/file").write_bytes(b"x")
    with serve_in_thread(directory) as host, serve_in_thread(directory) as other:
        first, second = Served(directory, host), Served(directory, other)
        path, again = first.upload(), second.upload()
        assert not (directory / ".uploads/dead").exists()
        assert len(list((directory / ".uploads").glob("*/*"))) == 2
        for registry, where in ((first, path), (second, again)):
            assert registry("PUT", f"{where}?digest={digest_of(b'x')}", b"x").status == 201
        second.upload()
    assert not (directory / ".uploads").exists()
