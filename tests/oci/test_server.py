"""The embedded registry's answers, request by request (OCI distribution specification 1.1)."""

import json
import os
import threading
from pathlib import Path

import pytest

from peers.images import OCI_INDEX, OCI_MANIFEST, Client, descriptor, digest_of, push_image
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

    def manifest(self, repository, which=None, **more) -> str:
        """Push a manifest over `{}`; other bytes for other fields."""
        self.client.put_blob(repository, EMPTY)
        raw = manifest(**more)
        return self.client.put_manifest(repository, which, raw, OCI_MANIFEST)

    def upload(self, repository="a") -> str:
        """Begin an upload; its path."""
        begun = self("POST", f"/v2/{repository}/blobs/uploads/")
        assert begun.status == 202
        assert begun.headers["docker-upload-uuid"] in begun.headers["location"]
        return begun.headers["location"]


def manifest(**more) -> bytes:
    part = descriptor("application/vnd.oci.empty.v1+json", EMPTY)
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": part, "layers": [part]}
    return json.dumps(document | more).encode()


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


# -- base and names


def test_it_speaks_the_distribution_api(registry):
    answer = registry("GET", "/v2/")
    assert (answer.status, answer.body) == (200, b"{}")
    assert answer.headers["docker-distribution-api-version"] == "registry/2.0"
    assert registry("HEAD", "/v2/").status == 200
    assert registry("GET", "/v3/").status == 404
    refused = registry("POST", "/v2/_catalog")
    assert (refused.status, code(refused), refused.headers["allow"]) == (405, "UNSUPPORTED", "GET")


TRICKS = (
    ".. ../a a/.. a/../b %2e%2e a/%2e%2e/b %2e%2e%2fa %252e%252e a//b /a a/ A a%00 a%5cb a%0ab a%20b -a a_ .a .uploads ~ %c3%a9"
    " blobs a/blobs/x a/index.json oci-layout"
).split()


@pytest.mark.parametrize("name", [*TRICKS, "a" * 256])
def test_R12_tricks_in_names_touch_nothing(registry, name):
    def files():
        found = (str(path.relative_to(registry.directory.parent)) for path in registry.directory.parent.rglob("*"))
        return sorted(path for path in found if not path.startswith("registry/.uploads/"))

    assert registry("POST", "/v2/fine/blobs/uploads/?digest=" + digest_of(EMPTY), EMPTY).status == 201
    before = files()
    answers = [
        registry("POST", f"/v2/{name}/blobs/uploads/?digest={digest_of(EMPTY)}", EMPTY),
        registry("PUT", f"/v2/{name}/manifests/v1", manifest(), Content_Type=OCI_MANIFEST),
        registry("GET", f"/v2/{name}/manifests/v1"),
        registry("GET", f"/v2/{name}/tags/list"),
        registry("DELETE", f"/v2/{name}/blobs/{digest_of(EMPTY)}"),
        registry("GET", f"/v2/{name}/blobs/{digest_of(EMPTY)}"),
    ]
    assert all(400 <= answer.status < 500 for answer in answers)
    assert registry("POST", f"/v2/other/blobs/uploads/?mount={digest_of(EMPTY)}&from={name}").status == 202
    assert files() == before


def test_X07_links_in_the_directory_are_not_followed(registry, tmp_path):
    registry.manifest("a", "v1")
    (registry.directory / "a").rename(tmp_path / "outside")
    (registry.directory / "b").symlink_to(tmp_path / "outside")
    before = sorted(str(found) for found in (tmp_path / "outside").rglob("*"))
    assert registry("GET", "/v2/b/manifests/v1").status == 500
    assert registry("POST", f"/v2/b/blobs/uploads/?digest={digest_of(b'x')}", b"x").status == 500
    assert json.loads(registry("GET", "/v2/_catalog").body) == {"repositories": []}
    assert sorted(str(found) for found in (tmp_path / "outside").rglob("*")) == before


def test_no_message_names_a_file_of_the_machine(registry):
    registry.manifest("a", "v1")
    (registry.directory / "a/index.json").write_text("{")
    answer = registry("GET", "/v2/a/manifests/v1")
    assert (answer.status, code(answer)) == (500, "UNKNOWN")
    assert str(registry.directory) not in answer.body.decode()


def test_web_pages_are_refused(registry):
    refused = registry("GET", "/v2/", Origin="http://evil.example")
    assert (refused.status, code(refused)) == (403, "DENIED")
    assert registry("GET", "/v2/").status == 200


# -- manifests


@pytest.mark.parametrize("kind", ["image", "index", "docker", "docker-list"])
def test_a_manifest_by_tag_and_digest(registry, kind):
    pushed = push_image(registry.host, "team/app", "v1", kind=kind)
    for which in ("v1", pushed.digest):
        path = f"/v2/team/app/manifests/{which}"
        answer, head = registry("GET", path), registry("HEAD", path)
        assert (answer.status, answer.body) == (200, pushed.raw)
        assert (head.status, head.body) == (200, b"")
        for found in (answer, head):
            assert found.headers["content-type"] == pushed.media_type
            assert found.headers["docker-content-digest"] == pushed.digest
            assert found.headers["content-length"] == str(len(pushed.raw))
    assert registry("GET", "/v2/team/app/manifests/v2").status == 404
    layout = registry.directory / "team/app"
    assert sorted(path.name for path in layout.iterdir()) == ["blobs", "index.json", "oci-layout"]


def test_what_is_not_there(registry):
    registry.manifest("a", "v1")
    for path, status, expected in (
        ("/v2/b/manifests/v1", 404, "NAME_UNKNOWN"),
        ("/v2/b/tags/list", 404, "NAME_UNKNOWN"),
        ("/v2/a/manifests/v2", 404, "MANIFEST_UNKNOWN"),
        ("/v2/a/manifests/" + digest_of(b"x"), 404, "MANIFEST_UNKNOWN"),
        ("/v2/a/manifests/sha256:abc", 400, "DIGEST_INVALID"),
        ("/v2/a/manifests/-v", 404, "MANIFEST_UNKNOWN"),
        ("/v2/a/blobs/" + digest_of(b"x"), 404, "BLOB_UNKNOWN"),
        ("/v2/a/blobs/md5:abc", 400, "DIGEST_INVALID"),
    ):
        answer = registry("GET", path)
        assert (answer.status, code(answer)) == (status, expected)
        assert registry("HEAD", path).status == (status if "tags" not in path else 405)


@pytest.mark.parametrize(
    ("raw", "media_type", "which", "expected"),
    [
        (manifest(), OCI_MANIFEST, digest_of(b"other"), "DIGEST_INVALID"),
        (manifest(), OCI_MANIFEST, "sha256:abc", "DIGEST_INVALID"),
        (manifest(), OCI_INDEX, "v1", "MANIFEST_INVALID"),
        (manifest(manifests=[]), OCI_MANIFEST, "v1", "MANIFEST_INVALID"),
        (b"{}", OCI_MANIFEST, "v1", "MANIFEST_INVALID"),
        (b"not JSON", OCI_MANIFEST, "v1", "MANIFEST_INVALID"),
        (manifest()[:-1] + b',"layers":[]}', OCI_MANIFEST, "v1", "MANIFEST_INVALID"),
        (manifest(), "text/plain", "v1", "MANIFEST_INVALID"),
        (manifest(), OCI_MANIFEST, "v" * 129, "MANIFEST_INVALID"),
        (manifest(layers=[descriptor("a/b", b"none")]), OCI_MANIFEST, "v1", "MANIFEST_BLOB_UNKNOWN"),
        (manifest(config=descriptor("a/b", b"none")), OCI_MANIFEST, "v1", "MANIFEST_BLOB_UNKNOWN"),
    ],
)
def test_M01_M03_manifests_that_are_not_taken(registry, raw, media_type, which, expected):
    registry.client.put_blob("a", EMPTY)
    assert registry("PUT", "/v2/a/manifests/good", manifest(), Content_Type=OCI_MANIFEST).status == 201
    refused = registry("PUT", f"/v2/a/manifests/{which}", raw, Content_Type=media_type)
    assert (refused.status, code(refused)) == (400, expected)
    assert registry.client.tags("a") == ["good"]


def test_everything_that_is_missing_is_named(registry):
    missing = [descriptor("a/b", name) for name in (b"1", b"2")]
    raw = manifest(layers=missing)
    registry.client.put_blob("a", EMPTY)
    refused = registry("PUT", "/v2/a/manifests/v1", raw, Content_Type=OCI_MANIFEST)
    assert [error["detail"]["digest"] for error in json.loads(refused.body)["errors"]] == [
        part["digest"] for part in missing
    ]
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": missing}).encode()
    assert registry("PUT", "/v2/a/manifests/v1", index, Content_Type=OCI_INDEX).status == 400
    foreign = manifest(layers=[descriptor("application/vnd.oci.image.layer.nondistributable.v1.tar", b"elsewhere")])
    assert registry("PUT", "/v2/a/manifests/v1", foreign, Content_Type=OCI_MANIFEST).status == 201


def test_D02_a_manifest_is_bounded(registry):
    registry.client.put_blob("a", EMPTY)
    raw = manifest(annotations={"x": "y" * limits.MANIFEST_BYTES})
    refused = registry("PUT", "/v2/a/manifests/v1", raw, Content_Type=OCI_MANIFEST)
    assert (refused.status, code(refused)) == (413, "SIZE_INVALID")
    raw = manifest(annotations={"x": "y" * (limits.MANIFEST_BYTES - 1000)})
    assert registry("PUT", "/v2/a/manifests/v1", raw, Content_Type=OCI_MANIFEST).status == 201


def test_deleting_tags_and_manifests(registry):
    digest = registry.manifest("a", "v1")
    registry.manifest("a", "v2")
    assert registry("DELETE", "/v2/a/manifests/v1").status == 202
    assert code(registry("DELETE", "/v2/a/manifests/v1")) == "MANIFEST_UNKNOWN"
    assert registry("GET", f"/v2/a/manifests/{digest}").status == 200
    assert registry("GET", "/v2/a/manifests/v2").status == 200
    assert registry("DELETE", f"/v2/a/manifests/{digest}").status == 202
    assert registry("GET", f"/v2/a/manifests/{digest}").status == 404
    assert registry("GET", "/v2/a/manifests/v2").status == 404
    assert registry("DELETE", f"/v2/a/manifests/{digest}").status == 404
    assert registry.client.tags("a") == []


# -- blobs


def test_a_blob_whole_and_in_ranges(registry):
    data = bytes(range(256)) * 20_000
    digest = registry.client.put_blob("a", data)
    path = f"/v2/a/blobs/{digest}"
    whole = registry("GET", path)
    assert (whole.status, whole.body) == (200, data)
    assert whole.headers["docker-content-digest"] == digest
    assert whole.headers["accept-ranges"] == "bytes"
    head = registry("HEAD", path)
    assert (head.status, head.headers["content-length"]) == (200, str(len(data)))
    size = len(data)
    for asked, expected, first in (
        ("bytes=0-9", data[:10], 0),
        ("bytes=5-", data[5:], 5),
        ("bytes=-7", data[-7:], size - 7),
        (f"bytes=10-{size + 100}", data[10:], 10),
    ):
        part = registry("GET", path, Range=asked)
        assert (part.status, part.body) == (206, expected)
        assert part.headers["content-range"] == f"bytes {first}-{first + len(expected) - 1}/{size}"
    for asked in (f"bytes={size}-", "bytes=-0"):
        refused = registry("GET", path, Range=asked)
        assert (refused.status, refused.headers["content-range"]) == (416, f"bytes */{size}")
    for asked in ("bytes=0-1,3-4", "lines=1-2", "bytes=5-2", "bytes=-"):
        assert registry("GET", path, Range=asked).body == data


def test_an_empty_blob(registry):
    digest = registry.client.put_blob("a", b"")
    answer = registry("GET", f"/v2/a/blobs/{digest}")
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "0")


def test_deleting_blobs(registry):
    digest = registry.client.put_blob("a", b"x")
    assert registry("DELETE", f"/v2/a/blobs/{digest}").status == 202
    assert registry("DELETE", f"/v2/a/blobs/{digest}").status == 404
    listed = registry.manifest("a", "v1")
    assert registry("DELETE", f"/v2/a/blobs/{listed}").status == 405
    assert registry("GET", "/v2/a/manifests/v1").status == 200


# -- lists


def test_tags_page_by_page(registry):
    tags = ["A", "b", "c", "v1", "v10", "v2"]
    for tag in reversed(tags):
        registry.manifest("a", tag)
    assert json.loads(registry("GET", "/v2/a/tags/list").body) == {"name": "a", "tags": tags}
    path, seen = "/v2/a/tags/list?n=4", []
    while path:
        answer = registry("GET", path)
        seen.append(json.loads(answer.body)["tags"])
        link = answer.headers.get("link", "")
        assert link.endswith('>; rel="next"') or not link
        path = link[1:].partition(">")[0]
    assert seen == [tags[:4], tags[4:]]
    assert json.loads(registry("GET", "/v2/a/tags/list?last=v1").body)["tags"] == ["v10", "v2"]
    assert json.loads(registry("GET", "/v2/a/tags/list?n=2&last=aa").body)["tags"] == ["b", "c"]
    none = registry("GET", "/v2/a/tags/list?n=0")
    assert json.loads(none.body)["tags"] == []
    assert "link" not in none.headers
    for wrong in ("x", "-1", "1" * 20):
        assert registry("GET", f"/v2/a/tags/list?n={wrong}").status == 400


def test_the_catalog(registry):
    for name in ("b/c", "a", "a/b", "z"):
        registry.manifest(name, "v1")
    (registry.directory / "not-a-layout").mkdir()
    assert json.loads(registry("GET", "/v2/_catalog").body) == {"repositories": ["a", "a/b", "b/c", "z"]}
    page = registry("GET", "/v2/_catalog?n=3")
    assert json.loads(page.body)["repositories"] == ["a", "a/b", "b/c"]
    assert page.headers["link"] == '</v2/_catalog?n=3&last=b%2Fc>; rel="next"'


def test_lists_have_a_page_size_of_their_own(serve):
    registry = serve(page=2)
    for tag in "abc":
        registry.manifest("a", tag)
    answer = registry("GET", "/v2/a/tags/list?n=1000")
    assert json.loads(answer.body)["tags"] == ["a", "b"]
    assert "last=b" in answer.headers["link"]


# -- referrers


def _referrers(registry, digest, query=""):
    answer = registry("GET", f"/v2/a/referrers/{digest}{query}")
    assert answer.status == 200
    assert answer.headers["content-type"] == OCI_INDEX
    document = json.loads(answer.body)
    assert (document["schemaVersion"], document["mediaType"]) == (2, OCI_INDEX)
    return document["manifests"], answer.headers


def test_referrers(registry):
    subject = descriptor(OCI_MANIFEST, b"an image that is not here")
    assert _referrers(registry, subject["digest"])[0] == []
    registry.client.put_blob("a", EMPTY)
    raw = manifest(subject=subject, artifactType="x/signature", annotations={"k": "v"})
    answer = registry("PUT", f"/v2/a/manifests/{digest_of(raw)}", raw, Content_Type=OCI_MANIFEST)
    assert (answer.status, answer.headers["oci-subject"]) == (201, subject["digest"])
    other = registry.manifest("a", "tagged", subject=subject)
    found = {item["digest"]: item for item in _referrers(registry, subject["digest"])[0]}
    assert found == {
        digest_of(raw): descriptor(OCI_MANIFEST, raw, artifactType="x/signature", annotations={"k": "v"}),
        other: descriptor(OCI_MANIFEST, manifest(subject=subject), artifactType="application/vnd.oci.empty.v1+json"),
    }
    assert registry("DELETE", f"/v2/a/manifests/{other}").status == 202
    assert [item["digest"] for item in _referrers(registry, subject["digest"])[0]] == [digest_of(raw)]
    assert code(registry("GET", "/v2/a/referrers/sha256:abc")) == "DIGEST_INVALID"
    assert _referrers(registry, digest_of(b"nothing"))[0] == []
    assert "oci-subject" not in registry("PUT", "/v2/a/manifests/v1", manifest(), Content_Type=OCI_MANIFEST).headers


def test_referrers_filtered_and_page_by_page(serve):
    registry = serve(page=2)
    subject = descriptor(OCI_MANIFEST, b"image")
    made = {
        registry.manifest("a", subject=subject, artifactType=f"x/{kind}", annotations={"n": str(number)}): kind
        for number, kind in enumerate("aababba")
    }
    path, seen = f"/v2/a/referrers/{subject['digest']}?artifactType=x/a", []
    while path:
        answer = registry("GET", path)
        assert answer.headers["oci-filters-applied"] == "artifactType"
        page = json.loads(answer.body)["manifests"]
        assert 0 < len(page) <= 2
        seen += [item["digest"] for item in page]
        path = answer.headers.get("link", "")[1:].partition(">")[0]
    assert sorted(seen) == sorted(digest for digest, kind in made.items() if kind == "a")
    assert len(seen) == len(set(seen)) == 4
    found, headers = _referrers(registry, subject["digest"])
    assert "oci-filters-applied" not in headers
    assert "artifactType" not in headers["link"]
    assert len(found) == 2
    assert _referrers(registry, subject["digest"], "?artifactType=x/c")[0] == []
    assert registry("GET", f"/v2/a/referrers/{subject['digest']}?last=x").status == 400


def test_without_the_referrers_api(serve):
    registry = serve(referrers_api=False)
    subject = descriptor(OCI_MANIFEST, b"image")
    registry.client.put_blob("a", EMPTY)
    answer = registry("PUT", "/v2/a/manifests/v1", manifest(subject=subject), Content_Type=OCI_MANIFEST)
    assert answer.status == 201
    assert "oci-subject" not in answer.headers
    assert registry("GET", f"/v2/a/referrers/{subject['digest']}").status == 404


# -- kinds of service


def test_read_only(serve):
    writable = serve()
    digest = writable.manifest("a", "v1")
    registry = serve(read_only=True)
    for method, path in (
        ("PUT", "/v2/a/manifests/v1"),
        ("DELETE", "/v2/a/manifests/v1"),
        ("POST", "/v2/a/blobs/uploads/"),
        ("DELETE", f"/v2/a/blobs/{digest}"),
    ):
        refused = registry(method, path)
        assert (refused.status, code(refused)) == (405, "UNSUPPORTED")
    assert registry("GET", "/v2/a/manifests/v1").headers["docker-content-digest"] == digest


def test_a_directory_that_is_itself_a_layout(serve, tmp_path):
    import shutil

    directory = tmp_path / "saved"
    shutil.copytree(Path(__file__).parent / "recorded/save-bundle", directory)
    image = "sha256:3ea851cf02f8bd7b2f8067f597d1084fb165234e9f211ff124f60348f8874fef"
    registry = serve(directory)
    assert json.loads(registry("GET", "/v2/_catalog").body) == {"repositories": ["saved"]}
    assert registry("GET", f"/v2/saved/manifests/{image}").status == 200
    assert len(json.loads(registry("GET", f"/v2/saved/referrers/{image}").body)["manifests"]) == 1
    assert code(registry("GET", f"/v2/other/manifests/{image}")) == "NAME_UNKNOWN"
    named = serve(directory, repository="team/app")
    assert named("GET", f"/v2/team/app/manifests/{image}").status == 200
    named.manifest("team/app", "v1")
    assert registry.client.tags("saved") == ["v1"]


def test_many_writers_at_once(registry):
    subject = descriptor(OCI_MANIFEST, b"image")
    failures = []

    def write(number):
        try:
            registry.manifest("a", f"v{number}", subject=subject, annotations={"n": str(number)})
        except (OSError, pytest.fail.Exception) as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert len(registry.client.tags("a")) == 16
    assert len(_referrers(registry, subject["digest"])[0]) == 16
    assert not [name for name in os.listdir(registry.directory / "a/blobs/sha256") if name.startswith(".")]
