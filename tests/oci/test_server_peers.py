"""Stock crane, oras and cosign against the embedded registry."""

import json

import pytest

from peers.images import OCI_MANIFEST, Client, push_image
from sealgate.oci.server import serve_in_thread

OFFLINE = ("--use-signing-config=false", "--tlog-upload=false", "-y")
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def host(directory):
    with serve_in_thread(directory) as host:
        yield host


@pytest.fixture(scope="module")
def key(cosign3, tmp_path_factory):
    folder = tmp_path_factory.mktemp("key")
    cosign3("generate-key-pair", cwd=folder, check=True)
    return folder / "cosign"


def test_crane_pushes_pulls_copies_lists_and_deletes(crane, host, tmp_path):
    image = push_image(host, "crane/one", "v1", kind="index")
    assert crane("digest", image.tagged, check=True).stdout.strip() == image.digest
    assert crane("validate", "--remote", image.tagged, check=True).returncode == 0
    crane("copy", image.tagged, f"{host}/crane/two:v2", check=True)
    assert crane("manifest", f"{host}/crane/two:v2", check=True).stdout == image.raw.decode()
    crane("tag", image.tagged, "v3", check=True)
    assert crane("ls", f"{host}/crane/one", check=True).stdout.split() == ["v1", "v3"]
    assert {"crane/one", "crane/two"} <= set(crane("catalog", host, check=True).stdout.split())
    crane("pull", "--format=oci", image.tagged, tmp_path / "layout", check=True)
    crane("push", tmp_path / "layout", f"{host}/crane/three:v1", "--index", check=True)
    crane("delete", f"{host}/crane/two@{image.digest}", check=True)
    assert crane("manifest", f"{host}/crane/two:v2").returncode != 0
    assert crane("manifest", f"{host}/crane/one:v1", check=True).stdout == image.raw.decode()


def test_oras_attaches_discovers_copies_and_deletes(oras, host, tmp_path):
    image = push_image(host, "oras/one", "v1")
    (tmp_path / "note.txt").write_text("a note")
    plain = ("--plain-http",)
    for kind in ("note/a", "note/b"):
        oras("attach", *plain, "--artifact-type", kind, image.reference, "note.txt", cwd=tmp_path, check=True)
    found = json.loads(oras("discover", *plain, "--format", "json", image.tagged, check=True).stdout)
    attached = found.get("referrers") or found["manifests"]
    assert sorted(item["artifactType"] for item in attached) == ["note/a", "note/b"]
    only = oras("discover", *plain, "--format", "json", "--artifact-type", "note/b", image.tagged, check=True)
    assert len(json.loads(only.stdout).get("referrers") or json.loads(only.stdout)["manifests"]) == 1
    oras("copy", "--from-plain-http", "--to-plain-http", "-r", image.tagged, f"{host}/oras/two:v1", check=True)
    copied = json.loads(oras("discover", *plain, "--format", "json", f"{host}/oras/two:v1", check=True).stdout)
    assert len(copied.get("referrers") or copied["manifests"]) == 2
    oras("manifest", "delete", *plain, "-f", f"{host}/oras/two@{attached[0]['digest']}", check=True)
    after = json.loads(oras("discover", *plain, "--format", "json", f"{host}/oras/two:v1", check=True).stdout)
    assert len(after.get("referrers") or after["manifests"]) == 1
    assert oras("repo", "tags", *plain, f"{host}/oras/one", check=True).stdout.split() == ["v1"]
    oras("push", *plain, f"{host}/oras/three:v1", "note.txt", cwd=tmp_path, check=True)
    oras("pull", *plain, "-o", "out", f"{host}/oras/three:v1", cwd=tmp_path, check=True)
    assert (tmp_path / "out/note.txt").read_text() == "a note"


def test_oras_sees_the_directory_as_a_layout(oras, host, directory, tmp_path):
    image = push_image(host, "oras/layout", "v1")
    (tmp_path / "note.txt").write_text("a note")
    oras("attach", "--plain-http", "--artifact-type", "note/a", image.reference, "note.txt", cwd=tmp_path, check=True)
    path = f"{directory}/oras/layout:v1"
    found = json.loads(oras("discover", "--oci-layout", "--format", "json", path, check=True).stdout)
    assert len(found.get("referrers") or found["manifests"]) == 1


def test_cosign_signs_by_the_referrers_api_and_verifies(cosign3, host, key):
    image = push_image(host, "cosign/bundle", "v1")
    cosign3("sign", "--key", key.with_suffix(".key"), *OFFLINE, image.reference, check=True)
    client = Client(host)
    assert client.tags("cosign/bundle") == ["v1"]
    answer = client.request("GET", f"/v2/cosign/bundle/referrers/{image.digest}")
    (found,) = json.loads(answer.body)["manifests"]
    assert (found["mediaType"], found["artifactType"]) == (OCI_MANIFEST, BUNDLE)
    assert found["annotations"]["dev.sigstore.bundle.predicateType"] == "https://sigstore.dev/cosign/sign/v1"
    verify = ("verify", "--key", key.with_suffix(".pub"), "--insecure-ignore-tlog")
    assert image.digest in cosign3(*verify, image.reference, check=True).stdout
    other = push_image(host, "cosign/bundle", "other")
    assert cosign3(*verify, other.reference).returncode != 0


def test_cosign_signs_in_the_legacy_format_and_cleans(cosign2, cosign3, host, key):
    image = push_image(host, "cosign/legacy", "v1")
    legacy = (*OFFLINE, "--new-bundle-format=false")
    cosign3("sign", "--key", key.with_suffix(".key"), *legacy, image.reference, check=True)
    tag = image.digest.replace(":", "-") + ".sig"
    assert Client(host).tags("cosign/legacy") == [tag, "v1"]
    verify = ("verify", "--key", key.with_suffix(".pub"), "--insecure-ignore-tlog")
    assert cosign2(*verify, image.reference, check=True).returncode == 0
    cosign3("clean", "-f", image.reference, check=True)
    assert Client(host).tags("cosign/legacy") == ["v1"]


def test_cosign_falls_back_without_the_referrers_api(cosign3, key, tmp_path):
    with serve_in_thread(tmp_path / "registry", referrers_api=False) as host:
        image = push_image(host, "cosign/fallback", "v1")
        cosign3("sign", "--key", key.with_suffix(".key"), *OFFLINE, image.reference, check=True)
        assert Client(host).tags("cosign/fallback") == [image.digest.replace(":", "-"), "v1"]
        verify = ("verify", "--key", key.with_suffix(".pub"), "--insecure-ignore-tlog")
        assert cosign3(*verify, image.reference, check=True).returncode == 0


def test_cosign_verifies_the_directory_as_a_layout(cosign3, crane, host, key, tmp_path):
    image = push_image(host, "cosign/saved", "v1")
    cosign3("sign", "--key", key.with_suffix(".key"), *OFFLINE, image.reference, check=True)
    cosign3("save", "--dir", tmp_path / "saved", image.reference, check=True)
    with serve_in_thread(tmp_path / "saved", repository="again") as other:
        verify = ("verify", "--key", key.with_suffix(".pub"), "--insecure-ignore-tlog")
        assert cosign3(*verify, f"{other}/again@{image.digest}", check=True).returncode == 0


def test_peers_log_in(crane, oras, tmp_path):
    import bcrypt

    hashed = bcrypt.hashpw(b"a secret", bcrypt.gensalt(rounds=4)).decode()
    (tmp_path / "htpasswd").write_text(f"someone:{hashed}\n")
    with serve_in_thread(tmp_path / "registry", htpasswd=str(tmp_path / "htpasswd")) as host:
        image = push_image(host, auth=("someone", "a secret"))
        assert "UNAUTHORIZED" in crane("digest", image.tagged).stderr
        home = {"DOCKER_CONFIG": str(tmp_path)}
        crane("auth", "login", host, "-u", "someone", "-p", "a secret", env=home, check=True)
        assert crane("digest", image.tagged, env=home, check=True).stdout.strip() == image.digest
        told = ("--plain-http", "-u", "someone", "-p", "a secret")
        assert oras("manifest", "fetch", *told, image.tagged, check=True).stdout.encode() == image.raw
