"""Ignore files, VEX documents, KEV and EPSS files: what is understood, and that nothing else is taken for it."""

import gzip
import json
from pathlib import Path

import pytest

from sealgate import limits
from sealgate.errors import ContentError, FeedInvalidError, IgnoreFileError, LimitError, VexInvalidError
from sealgate.scan import feeds, ignores, vex

REPORTS = Path(__file__).parent / "reports"
GOOD = "{id: CVE-1, reason: r, expires: 2027-01-01}"


def read(text):
    return ignores.read(text.encode(), what="ignore.yaml")


def test_an_ignore_file():
    entries = read(
        """
ignore:
  - id: CVE-2026-0001
    purl: pkg:deb/debian/openssl
    reason: not reachable
    owner: security@example.test
    expires: 2026-12-31
  - {id: CVE-2026-0001, package: libssl3, reason: "the same, elsewhere", expires: "2026-12-31"}
"""
    )
    assert [entry.label for entry in entries] == ["CVE-2026-0001 in pkg:deb/debian/openssl", "CVE-2026-0001 in libssl3"]
    assert {entry.until for entry in entries} == {1798761600.0}  # the end of that day, UTC
    assert read("ignore: []") == read("ignore:") == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "ignore: {}",
        "ignore: [CVE-1]",
        f"ignore: [{GOOD}]\nmore: 1",
        f"ignore: [{GOOD}]\n---\nignore: []",
        "ignore: [{id: CVE-1, reason: r, expires: 2027-01-01, expired: 2027-01-01}]",
        "ignore: [{id: CVE-1, reason: r, expires: 2027-01-01, 1: x}]",
        "ignore: [{reason: r, expires: 2027-01-01}]",
        "ignore: [{id: CVE-1, expires: 2027-01-01}]",
        "ignore: [{id: CVE-1, reason: '', expires: 2027-01-01}]",
        "ignore: [{id: CVE-1, reason: r}]",
        "ignore: [{id: CVE-1, reason: r, expires: never}]",
        "ignore: [{id: CVE-1, reason: r, expires: 9999-12-31}]",
        "ignore: [{id: CVE-1, reason: r, expires: 2027-01-01T00:00:00Z}]",
        "ignore: [{id: CVE-1, reason: r, expires: 20270101}]",
        "ignore: [{id: 'CVE-*', reason: r, expires: 2027-01-01}]",
        "ignore: [{id: CVE-1, id: CVE-2, reason: r, expires: 2027-01-01}]",
        "ignore: [{id: CVE-1, purl: libssl3, reason: r, expires: 2027-01-01}]",
        "ignore: [{id: CVE-1, purl: 'pkg:oci/app', reason: r, expires: 2027-01-01}]",
        f"ignore: [{GOOD}, {GOOD}]",
        f"ignore: [{GOOD}, {GOOD.replace('CVE', 'cve')}]",
        "ignore: [!!python/object/apply:os.getcwd []]",
        "ignore: [",
    ],
)
def test_an_ignore_file_that_is_not_understood_is_an_error(text):
    assert read(f"ignore: [{GOOD}]")
    with pytest.raises(IgnoreFileError) as caught:
        read(text)
    assert (caught.value.code, caught.value.exit_code) == ("ignore-file-invalid", 2)


def load(name):
    return json.loads((REPORTS / name).read_bytes())


def changed(name, change):
    document = load(name)
    change(document)
    return json.dumps(document).encode()


def _unjustified_openvex(document):
    del document["statements"][0]["justification"], document["statements"][0]["impact_statement"]


def _unjustified_csaf(document):
    del document["vulnerabilities"][0]["flags"]


def _contradicting_csaf(document):
    document["vulnerabilities"][0]["product_status"]["known_affected"] = ["IMAGE:SSL"]


VEX = {
    "openvex not justified": ("openvex.json", _unjustified_openvex),
    "openvex odd justification": ("openvex.json", lambda d: d["statements"][0].update(justification="trust me")),
    "openvex odd status": ("openvex.json", lambda d: d["statements"][0].update(status="fine")),
    "openvex of another version": ("openvex.json", lambda d: d.update({"@context": "https://openvex.dev/ns/v9"})),
    "openvex without statements": ("openvex.json", lambda d: d.update(statements=[])),
    "cyclonedx not justified": (
        "cyclonedx-vex.json",
        lambda d: d["vulnerabilities"][0]["analysis"].pop("justification"),
    ),
    "cyclonedx odd state": ("cyclonedx-vex.json", lambda d: d["vulnerabilities"][0]["analysis"].update(state="fine")),
    "cyclonedx without analysis": ("cyclonedx-vex.json", lambda d: d.update(vulnerabilities=[])),
    "cyclonedx bom-ref twice": ("cyclonedx-vex.json", lambda d: d["components"].append({"bom-ref": "image"})),
    "csaf not justified": ("csaf.json", _unjustified_csaf),
    "csaf says two things": ("csaf.json", _contradicting_csaf),
    "csaf of another category": ("csaf.json", lambda d: d["document"].update(category="csaf_base")),
    "csaf unknown product": ("csaf.json", lambda d: d["product_tree"].pop("relationships")),
    "something else": ("trivy.json", lambda d: None),
}


@pytest.mark.parametrize("case", VEX)
def test_a_vex_document_that_is_not_understood_is_an_error(case):
    name, change = VEX[case]
    if name != "trivy.json":
        assert vex.read((REPORTS / name).read_bytes(), what=name)
    with pytest.raises(VexInvalidError) as caught:
        vex.read(changed(name, change), what=name)
    assert (caught.value.code, caught.value.exit_code) == ("vex-invalid", 2)


@pytest.mark.parametrize("name", ["openvex.json", "cyclonedx-vex.json", "csaf.json"])
def test_M03_a_vex_document_that_says_a_thing_twice_is_an_error(name):
    raw = (REPORTS / name).read_bytes()
    key = next(iter(json.loads(raw)))
    with pytest.raises(VexInvalidError) as caught:
        vex.read(raw.replace(b"{", b"{" + json.dumps(key).encode() + b":1,", 1), what=name)
    assert (caught.value.code, caught.value.exit_code) == ("vex-invalid", 2)


@pytest.mark.parametrize("name", ["openvex.json", "cyclonedx-vex.json", "csaf.json"])
def test_a_vex_document_that_is_cut_off_is_an_error(name):
    with pytest.raises(ContentError) as caught:
        vex.read((REPORTS / name).read_bytes()[:-3], what=name)
    assert caught.value.code == "vex-invalid"


KEV = json.dumps({"catalogVersion": "1", "vulnerabilities": [{"cveID": "CVE-1"}, {"cveID": "CVE-2"}]}).encode()
EPSS = b"#model_version:v2025.03.14,score_date:2026-11-22T00:00:00Z\ncve,epss,percentile\nCVE-1,0.5,0.9\nCVE-2,0.00042,0.1\n"


def test_kev_and_epss():
    assert feeds.read_kev(KEV, what="kev") == {"CVE-1", "CVE-2"}
    assert feeds.read_epss(EPSS, what="epss") == feeds.read_epss(gzip.compress(EPSS), what="epss")
    assert feeds.read_epss(EPSS, what="epss") == {"CVE-1": 0.5, "CVE-2": 0.00042}


@pytest.mark.parametrize(
    ("read", "raw"),
    [
        (feeds.read_kev, b"{}"),
        (feeds.read_kev, b'{"vulnerabilities":[]}'),
        (feeds.read_kev, b'{"vulnerabilities":[{"id":"CVE-1"}]}'),
        (feeds.read_kev, KEV[:-1]),
        (feeds.read_epss, b""),
        (feeds.read_epss, b"cve,percentile\nCVE-1,0.1\n"),
        (feeds.read_epss, b"cve,epss\nCVE-1,high\n"),
        (feeds.read_epss, b"cve,epss\nCVE-1,1.5\n"),
        (feeds.read_epss, b"cve,epss\nCVE-1\n"),
        (feeds.read_epss, gzip.compress(EPSS)[:-9]),
        (feeds.read_epss, b"\x1f\x8bnonsense"),
    ],
)
def test_a_feed_that_is_not_understood_is_an_error(read, raw):
    with pytest.raises(FeedInvalidError) as caught:
        read(raw, what="feed")
    assert (caught.value.code, caught.value.exit_code) == ("feed-invalid", 2)


def test_a_feed_that_unpacks_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(limits, "FEED_BYTES", 1000)
    assert feeds.read_epss(gzip.compress(EPSS), what="epss")
    with pytest.raises(LimitError):
        feeds.read_epss(gzip.compress(EPSS + b"#" * 10_000), what="epss")
