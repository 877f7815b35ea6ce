"""The scan gate with the real Trivy, where there is one on the PATH, and a database with one vulnerability that we made up."""

import json
import os
import shutil
import subprocess

import pytest

from peers import trivy_database
from peers.packages import FILES, push_packages

TRIVY = shutil.which("trivy")
CVE = "CVE-2099-0001"
pytestmark = pytest.mark.skipif(TRIVY is None, reason="no trivy on the PATH")


@pytest.fixture
def environ(tmp_path):
    cache = tmp_path / "cache"
    trivy_database.write(cache, system="debian 12", package="openssl", fixed="3.0.17-1", vulnerability=CVE, severity=4)
    return {
        "PATH": f"{os.path.dirname(TRIVY)}{os.pathsep}{os.defpath}", "TRIVY_CACHE_DIR": str(cache), "TRIVY_INSECURE": "true",
        "TRIVY_SKIP_DB_UPDATE": "true", "TRIVY_SKIP_JAVA_DB_UPDATE": "true", "TRIVY_OFFLINE_SCAN": "true",
    }  # fmt: skip


@pytest.fixture
def image(docker_registry):
    return push_packages(docker_registry, "trivy/image")


@pytest.fixture
def mended(docker_registry):
    status = FILES["var/lib/dpkg/status"].replace("3.0.11-1~deb12u2", "3.0.17-1")
    return push_packages(docker_registry, "trivy/mended", files=FILES | {"var/lib/dpkg/status": status})


def test_what_it_finds_is_refused_and_what_is_mended_passes(cli, image, mended, environ):
    said = cli("scan", "--scanner", "trivy", "--fail-on", "critical", image.tagged, env=environ)
    assert (said.code, "[vulnerabilities-found]" in said.err, CVE in said.out) == (16, True, True)
    assert "bound by" in said.out
    assert cli("scan", "--scanner", "trivy", "--fail-on", "critical", mended.tagged, env=environ).code == 0


def test_an_index_is_scanned_by_platform(cli, docker_registry, environ):
    index = push_packages(docker_registry, "trivy/index", architectures=("amd64", "arm64"))
    said = cli("scan", "-o", "json", "--scanner", "trivy", index.reference, env=environ)
    assert said.code == 16
    assert len(json.loads(said.out)["reports"]) == 2


def test_a_layout_is_scanned(cli, image, mended, environ, tmp_path):
    for name, place, code in (("bad", image, 16), ("good", mended, 0)):
        assert cli("save", "--dir", tmp_path / name, place.reference).code == 0
        assert cli("scan", "--scanner", "trivy", f"oci:{tmp_path / name}", env=environ).code == code


def test_an_image_whose_system_it_does_not_know_is_no_clean_scan(cli, docker_registry, environ):
    """Without its version Debian is not recognised, and Trivy finds nothing to look at."""
    files = {"etc/motd": "hello\n"}
    image = push_packages(docker_registry, "trivy/unknown", files=files)
    said = cli("scan", "--scanner", "trivy", image.reference, env=environ)
    assert (said.code, "[report-empty]" in said.err) == (16, True)


@pytest.mark.parametrize("form", ["json", "sarif", "cyclonedx", "cosign-vuln"])
def test_each_of_its_formats_is_read(cli, image, environ, form, tmp_path):
    report = tmp_path / "report"
    words = [
        TRIVY,
        "image",
        "--quiet",
        "--format",
        form,
        "--scanners",
        "vuln",
        "--output",
        str(report),
        image.reference,
    ]
    subprocess.run(words, env=environ | {"HOME": str(tmp_path)}, check=True, timeout=60, capture_output=True)
    said = cli("scan", "--report", report, image.reference)
    assert (said.code, CVE in said.out) == (16, True), said
    other = push_packages(image.host, "trivy/other", files=FILES | {"etc/motd": "another\n"})
    said = cli("scan", "--report", report, other.reference)
    assert (said.code, "[report-other-image]" in said.err) == (16, True), said
