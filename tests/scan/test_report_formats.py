"""Reports of every format, as values: golden for what was recorded, refused where they cannot be believed."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealgate import limits
from sealgate.errors import ContentError, LimitError, ReportInvalidError, ReportUnsupportedError
from sealgate.scan import reading, severity, vex
from sealgate.scan.severity import Severity

REPORTS = Path(__file__).parent / "reports"
MANIFEST = "sha256:9122248b6396212a24f0935c7c4a734d4368e308029173bd2440fafd9eda1409"
IMAGE_ID = "sha256:025469f89aa8eadef61cdcdd323d56bd27c45788a720fe390f6c5cac928ec290"
FILES = ["trivy.json", "grype.json", "trivy.sarif.json", "osv-scanner.json", "cyclonedx.json", "in-toto-vulns.json"]


def raw(name):
    return (REPORTS / name).read_bytes()


def load(name):
    return json.loads(raw(name))


def read(document):
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return reading.read(data, what="report")


def rows(report):
    return [(f.id, f.package, str(f.severity), f.status, ",".join(f.fixed_versions)) for f in report.findings]


def test_trivy():
    report = read(raw("trivy.json"))
    assert rows(report) == [
        ("CVE-2099-0001", "bash", "medium", "fixed", "99.0-1"),
        ("CVE-2099-0002", "coreutils", "low", "wont-fix", ""),
        ("CVE-2099-0003", "libssl-dev", "high", "fixed", "99.1"),
        ("CVE-2099-0003", "libssl3", "high", "fixed", "99.1"),
        ("CVE-2099-0003", "openssl", "high", "fixed", "99.1"),
        ("CVE-2099-0004", "zlib1g", "low", "affected", ""),
        ("CVE-2099-0004", "zlib1g-dev", "low", "affected", ""),
        ("CVE-2099-0005", "urllib3", "high", "fixed", "99.0.0"),
    ]
    assert (report.format, report.version, report.looked) == ("trivy", "0.76.0", True)
    assert (report.digests, report.image_ids) == ({MANIFEST}, {IMAGE_ID})
    assert int(report.scanned_at) == 1795348163
    assert report.findings[0].chosen_from == "debian"
    assert [(r.source, str(r.severity), r.score) for r in report.findings[0].ratings] == [
        ("debian", "medium", None),
        ("nvd", "critical", 9.8),
    ]
    assert (report.findings[2].aliases, report.findings[2].related) == ((), ("DSA-9999-1",))
    assert report.findings[7].aliases == ("GHSA-aaaa-bbbb-cccc",)


def test_trivy_tells_source_packages_and_what_it_left_out():
    document = load("trivy.json")
    result = document["Results"][0]
    uid = result["Vulnerabilities"][3]["PkgIdentifier"]["UID"]
    result["Packages"] = [{"Name": "libssl3", "SrcName": "openssl", "Identifier": {"UID": uid}}]
    result["ExperimentalModifiedFindings"] = [
        {"Type": "vulnerability", "Status": "ignored", "Statement": "accepted", "Finding": result["Vulnerabilities"][0]}
    ]
    report = read(document)
    assert (report.findings[3].source_package, report.packages_seen) == ("openssl", 1)
    assert [(s.finding.id, s.reason) for s in report.suppressed] == [("CVE-2099-0001", "accepted")]


def test_grype():
    report = read(raw("grype.json"))
    assert rows(report) == [
        ("CVE-1999-0001", "package-1", "low", "fixed", "1.2.1,2.1.3,3.4.0"),
        ("CVE-1999-0002", "package-2", "critical", "unknown", ""),
    ]
    assert [f.known_exploited for f in report.findings] == [False, True]
    assert [f.epss for f in report.findings] == [0.03, 0.08]
    assert report.digests == {"sha256:ca738abb87a8d58f112d3400ebb079b61ceae7dc290beb34bda735be4b1941d5"}
    assert report.scanned_at is report.database_at is None


def test_grype_of_today_names_its_database_and_aliases():
    document = load("grype.json")
    document["descriptor"] |= {
        "timestamp": "2026-11-22T11:49:23.5Z",
        "db": {"status": {"built": "2026-11-22T01:00:00Z"}},
    }
    document["matches"][0]["vulnerability"] |= {"id": "GHSA-aaaa-bbbb-cccc", "namespace": "github:language:python"}
    document["matches"][0]["relatedVulnerabilities"] = [
        {"id": "CVE-1999-0001", "namespace": "nvd:cpe", "severity": "Critical"}
    ]
    document["ignoredMatches"] = [document["matches"].pop() | {"appliedIgnoreRules": [{"fix-state": "wont-fix"}]}]
    report = read(document)
    [finding] = report.findings
    assert (finding.names, finding.chosen_from) == (("GHSA-aaaa-bbbb-cccc", "CVE-1999-0001"), "ghsa")
    assert ("nvd", Severity.CRITICAL) in [(r.source, r.severity) for r in finding.ratings]
    assert report.scanned_at - report.database_at == 10 * 3600 + 49 * 60 + 23.5
    assert [s.reason for s in report.suppressed] == ["Grype's rule: fix-state wont-fix"]


def test_an_advisory_is_no_alias_of_what_it_fixes():
    document = load("grype.json")
    document["matches"][0]["vulnerability"]["id"] = "ALAS-2099-1"
    document["matches"][0]["relatedVulnerabilities"] = [{"id": "CVE-2099-0001"}, {"id": "CVE-2099-0002"}]
    [finding, _] = read(document).findings
    assert (finding.aliases, finding.related) == ((), ("CVE-2099-0001", "CVE-2099-0002"))
    document["matches"][0]["relatedVulnerabilities"].pop()
    assert read(document).findings[0].aliases == ("CVE-2099-0001",)
    document = load("osv-scanner.json")
    document["results"][0]["packages"][0]["groups"][1] = {"ids": ["DSA-1-1"], "aliases": ["CVE-2099-1", "CVE-2099-2"]}
    finding = read(document).findings[1]
    assert (finding.id, finding.aliases, finding.related) == ("DSA-1-1", (), ("CVE-2099-1", "CVE-2099-2"))


def test_sarif_of_trivy():
    report = read(raw("trivy.sarif.json"))
    assert rows(report)[0] == ("CVE-2099-0001", "bash", "medium", "fixed", "99.0-1")
    assert [f.id for f in report.findings] == [f.id for f in read(raw("trivy.json")).findings]
    assert [f.severity for f in report.findings] == [f.severity for f in read(raw("trivy.json")).findings]
    assert (report.digests, report.image_ids) == ({MANIFEST}, {IMAGE_ID})


def test_sarif_of_grype_has_the_package_in_the_rule():
    document = load("trivy.sarif.json")
    [run] = document["runs"]
    run["tool"]["driver"] |= {
        "name": "Grype",
        "rules": [{"id": "CVE-2099-0001-bash", "properties": {"security-severity": "9.8"}}],
    }
    run["results"] = [{"ruleId": "CVE-2099-0001-bash", "level": "error", "message": {"text": "A critical one"}}]
    del run["properties"]
    report = read(document)
    assert rows(report) == [("CVE-2099-0001", "bash", "critical", "unknown", "")]
    assert not report.digests | report.image_ids


def test_osv_scanner_counts_groups():
    report = read(raw("osv-scanner.json"))
    assert rows(report) == [
        ("CVE-2099-0101", "left-pad", "critical", "fixed", "1.3.0"),
        ("GHSA-dddd-eeee-ffff", "left-pad", "low", "affected", ""),
    ]
    assert report.findings[0].aliases == ("GHSA-aaaa-bbbb-cccc",)
    assert report.findings[0].purl == "pkg:npm/left-pad@1.0.0"
    assert ("ghsa", Severity.MEDIUM) in [(r.source, r.severity) for r in report.findings[0].ratings]
    assert (report.packages_seen, report.digests, report.image_ids) == (1, set(), set())


def test_cyclonedx():
    report = read(raw("cyclonedx.json"))
    assert rows(report) == [
        ("CVE-2099-0001", "bash", "medium", "fixed", "99.0-1"),
        ("CVE-2099-0003", "libssl3", "high", "unknown", ""),
    ]
    assert [(s.finding.id, s.reason) for s in report.suppressed] == [
        ("CVE-2099-0009", "not_affected: code_not_present")
    ]
    assert (report.digests, report.image_ids, report.scanner) == ({MANIFEST}, {IMAGE_ID}, "trivy")


def wrapped(inner, **more):
    return {
        "invocation": {"parameters": None, "uri": "", "event_id": "", "builder.id": ""},
        "scanner": {"uri": "pkg:trivy", "version": "0.76", "db": {"uri": "", "version": ""}, "result": inner},
        "metadata": {"scanStartedOn": "2026-11-22T11:00:00Z", "scanFinishedOn": "2026-11-22T11:00:05Z"} | more,
    }


def statement(predicate, digest=MANIFEST, kind="https://cosign.sigstore.dev/attestation/vuln/v1"):
    return {
        "_type": "https://in-toto.io/Statement/v0.1",
        "subject": [{"name": "real", "digest": {"sha256": digest.removeprefix("sha256:")}}],
        "predicateType": kind,
        "predicate": predicate,
    }


def test_cosign_vuln_is_read_through_to_the_scanner():
    for document in (wrapped(load("trivy.json")), statement(wrapped(load("trivy.json")))):
        report = read(document)
        assert rows(report) == rows(read(raw("trivy.json")))
        assert report.scanned_at == 1795345205.0  # the older of the two
        assert report.format == "cosign-vuln"
    assert report.subjects == {MANIFEST}


def test_in_toto_vulns():
    report = read(raw("in-toto-vulns.json"))
    assert rows(report) == [
        ("CVE-2099-0001", "", "critical", "unknown", ""),
        ("CVE-2099-0004", "", "low", "unknown", ""),
    ]
    assert (report.subjects, report.looked) == ({MANIFEST}, True)
    assert report.scanned_at - report.database_at == 11 * 3600 + 5


def broken():
    yield "0 bytes", b"", "report-invalid"
    yield "not JSON", b"\x00\x01", "report-invalid"
    yield "a list", b"[]", "report-unsupported"
    yield "an object", b"{}", "report-unsupported"
    yield "a key twice", b'{"SchemaVersion":2,"SchemaVersion":2,"ArtifactType":"container_image"}', "report-invalid"
    both = load("trivy.json") | {"matches": [], "descriptor": {"name": "grype"}}
    yield "two formats at once", both, "report-invalid"
    yield "Trivy of another version", load("trivy.json") | {"SchemaVersion": 3}, "report-invalid"
    yield "Trivy with results of another shape", load("trivy.json") | {"Results": {}}, "report-invalid"
    yield "Trivy with an odd time", load("trivy.json") | {"CreatedAt": "yesterday"}, "report-invalid"
    yield (
        "Trivy's finding without an id",
        load("trivy.json") | {"Results": [{"Class": "os-pkgs", "Vulnerabilities": [{"Severity": "LOW"}]}]},
        "report-invalid",
    )
    yield "Grype without a list", load("grype.json") | {"matches": None}, "report-invalid"
    yield "SARIF of another version", load("trivy.sarif.json") | {"version": "2.0.0"}, "report-invalid"
    yield (
        "SARIF of a linter",
        {"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "ruff"}}, "results": []}]},
        "report-invalid",
    )
    trivy = {"driver": {"name": "Trivy"}}
    yield "SARIF without results", {"version": "2.1.0", "runs": [{"tool": trivy}]}, "report-invalid"
    failed = [{"executionSuccessful": False}]
    yield "SARIF of a scan that failed", {
        "version": "2.1.0", "runs": [{"tool": trivy, "results": [], "invocations": failed}]
    }, "report-invalid"  # fmt: skip
    yield "a mere SBOM", {"bomFormat": "CycloneDX", "components": []}, "report-invalid"
    yield "a Statement of something else", statement(wrapped({}), kind="https://spdx.dev/Document"), "report-invalid"
    yield "a Statement without a subject", statement(wrapped(load("trivy.json"))) | {"subject": []}, "report-invalid"
    yield "a predicate around nothing", wrapped({"n": 0}), "report-unsupported"
    yield "a predicate in a predicate", wrapped(wrapped(load("trivy.json"))), "report-unsupported"
    yield (
        "a scan that ended before it began",
        wrapped(load("trivy.json"), scanFinishedOn="2026-11-22T10:00:00Z"),
        "report-invalid",
    )


BROKEN = list(broken())


@pytest.mark.parametrize(("document", "code"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_what_cannot_be_believed_is_refused(document, code):
    with pytest.raises(ReportInvalidError) as caught:
        read(document)
    assert (caught.value.code, caught.value.exit_code) == (code, 16)


@pytest.mark.parametrize("name", FILES)
def test_a_report_that_is_cut_off_is_refused(name):
    data = raw(name).rstrip()
    assert read(data).findings
    for length in (1, len(data) // 3, len(data) - 1):
        with pytest.raises(ReportInvalidError) as caught:
            read(data[:length])
        assert caught.value.code == "report-invalid"


def test_a_report_beyond_the_bound_is_refused(monkeypatch):
    data = raw("trivy.json")
    monkeypatch.setattr(limits, "SCAN_REPORT_BYTES", len(data))
    assert read(data).findings
    monkeypatch.setattr(limits, "SCAN_REPORT_BYTES", len(data) - 1)
    with pytest.raises(LimitError) as caught:
        read(data)
    assert (caught.value.code, caught.value.exit_code) == ("report-too-large", 16)


@pytest.mark.parametrize(
    "bad", [b"[" * 100_000, b'{"SchemaVersion":' + b"1" * 5000 + b"}"], ids=["deep", "long number"]
)
def test_D11_a_report_that_is_deep_or_long_cannot_carry_a_decision(bad):
    with pytest.raises(LimitError) as caught:
        read(bad)
    assert (caught.value.code, caught.value.exit_code) == ("report-too-large", 16)


def test_the_name_of_a_file_means_nothing():
    assert reading.read(raw("grype.json"), what="trivy.json").format == "grype"


def damaged(document, data):
    """`document` with one part of it replaced by something else."""
    node, key = [document], 0
    for _ in range(data.draw(st.integers(1, 8))):
        inner = node[key]
        if isinstance(inner, dict) and inner:
            node, key = inner, data.draw(st.sampled_from(sorted(inner)))
        elif isinstance(inner, list) and inner:
            node, key = inner, data.draw(st.integers(0, len(inner) - 1))
    node[key] = data.draw(st.sampled_from([None, True, 0, -1, 1e300, "", "x", [], [None], {}, {"a": 1}, ["x"], [[]]]))
    return document


@given(st.sampled_from(FILES), st.data())
def test_any_part_of_another_type_is_read_or_refused_by_name(name, data):
    try:
        report = read(damaged(load(name), data))
    except ContentError as error:
        assert error.code in {"report-invalid", "report-unsupported"}
    else:
        assert all(isinstance(f.severity, Severity) and f.id for f in report.findings)


@given(st.sampled_from(["openvex.json", "cyclonedx-vex.json", "csaf.json"]), st.data())
def test_any_part_of_a_vex_document_of_another_type_is_read_or_refused_by_name(name, data):
    finding = read(raw("trivy.json")).findings[3]
    subject = vex.Subject("127.0.0.1:15302/real", frozenset({MANIFEST}))
    try:
        statements = vex.read(json.dumps(damaged(load(name), data)).encode(), what=name)
    except ContentError as error:
        assert error.code == "vex-invalid"
    else:
        vex.verdict(statements, finding, subject)


@given(st.text())
def test_an_unknown_word_is_no_severity(word):
    assert severity.of(word) is Severity.UNKNOWN or word.strip().lower() in {
        "negligible", "none", "info", "informational", "unimportant", "low", "medium", "moderate", "high", "important",
        "critical",
    }  # fmt: skip


def test_scores_become_severities_as_cvss_says():
    scores = {None: 0, 0.0: 1, 0.1: 2, 3.9: 2, 4.0: 3, 6.9: 3, 7.0: 4, 8.9: 4, 9.0: 5, 10.0: 5, 11.0: 0, -1.0: 0}
    assert {score: int(severity.of_score(score)) for score in scores} == scores
    assert severity.of_vector("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H") == (9.8, Severity.CRITICAL)
    assert severity.of_vector("AV:N/AC:L/Au:N/C:P/I:P/A:P") == (7.5, Severity.HIGH)
    assert severity.of_vector("CVSS:9/nonsense") == (None, Severity.UNKNOWN)


def test_foreign_documents_are_named_as_such():
    with pytest.raises(ReportUnsupportedError) as caught:
        read({"spdxVersion": "SPDX-2.3"})
    assert "Trivy" in caught.value.hint
