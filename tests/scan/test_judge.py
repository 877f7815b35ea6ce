"""The judgement: what refuses, what excuses, what a report must be to be judged by at all."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealgate.scan import ignores, reading, vex
from sealgate.scan.binding import Part, Target
from sealgate.scan.judge import Policy, judge, severity_of
from sealgate.scan.report import Finding, Rating, Report
from sealgate.scan.severity import Severity

REPORTS = Path(__file__).parent / "reports"
MANIFEST = "sha256:9122248b6396212a24f0935c7c4a734d4368e308029173bd2440fafd9eda1409"
IMAGE_ID = "sha256:025469f89aa8eadef61cdcdd323d56bd27c45788a720fe390f6c5cac928ec290"
OTHER = "sha256:" + "0" * 64
REPOSITORY = "127.0.0.1:15302/real"
NOW = 1795348163.0 + 3600
TARGET = Target(f"{REPOSITORY}@{MANIFEST}", MANIFEST, (Part(MANIFEST, IMAGE_ID),), REPOSITORY)
STRICT = Policy(Severity.HIGH)


def load(name):
    return reading.read((REPORTS / name).read_bytes(), what=name)


TRIVY = load("trivy.json")


def decide(report=TRIVY, policy=STRICT, target=TARGET, now=NOW):
    [decision] = judge([target], [report] if isinstance(report, Report) else report, policy, now=now)
    return decision


def code(*args, **more):
    refusal = decide(*args, **more).refusal()
    return None if refusal is None else refusal.code


def refused(decision):
    return {(one.finding.id, one.finding.package) for one in decision.findings if one.outcome == "refused"}


# -- severities


@pytest.mark.parametrize(("fail_on", "ids"), [("critical", set()), ("high", {"3", "5"}), ("medium", {"1", "3", "5"})])
def test_the_severity_decides(fail_on, ids):
    decision = decide(policy=STRICT._replace(fail_on=Severity[fail_on.upper()]))
    assert {name[-1] for name, _ in refused(decision)} == ids
    assert code(policy=STRICT._replace(fail_on=Severity[fail_on.upper()])) == ("vulnerabilities-found" if ids else None)


def test_the_source_of_the_severity_can_be_chosen():
    bash = TRIVY._replace(findings=TRIVY.findings[:1])
    assert code(bash) is None  # Debian says medium
    for source in ("nvd", "highest"):
        assert code(bash, STRICT._replace(severity_source=source)) == "vulnerabilities-found"
    assert code(bash, STRICT._replace(severity_source="redhat")) is None  # says nothing: the scanner's counts
    assert severity_of(bash.findings[0], STRICT._replace(severity_source="redhat")) is Severity.MEDIUM


def test_an_unknown_severity_is_never_harmless():
    unknown = TRIVY._replace(findings=(Finding("CVE-1", "p", "1", Severity.UNKNOWN),))
    assert code(unknown) == "vulnerabilities-found"
    assert "unknown" in decide(unknown).findings[0].why
    assert code(unknown, STRICT._replace(fail_on=Severity.CRITICAL)) is None
    assert (
        code(unknown, STRICT._replace(fail_on=Severity.CRITICAL, unknown=Severity.CRITICAL)) == "vulnerabilities-found"
    )
    assert code(unknown, STRICT._replace(unknown=Severity.LOW)) is None
    rated = unknown.findings[0]._replace(ratings=(Rating("nvd", Severity.CRITICAL, 9.8),))
    assert (
        code(unknown._replace(findings=(rated,)), STRICT._replace(fail_on=Severity.CRITICAL)) == "vulnerabilities-found"
    )


def test_what_has_no_fix_is_told_apart():
    def report(status):
        return TRIVY._replace(findings=(Finding("CVE-1", "p", "1", Severity.CRITICAL, status=status),))

    lenient = STRICT._replace(ignore_unfixed=True)
    for status in ("fixed", "unknown"):
        assert code(report(status), lenient) == "vulnerabilities-found"
    for status, why in (("affected", "no fix yet"), ("wont-fix", "the vendor will not fix it")):
        assert code(report(status)) == "vulnerabilities-found"
        assert code(report(status), lenient) is None
        assert decide(report(status), lenient).findings[0].why == why


def test_exploited_ones_and_likely_ones_refuse_whatever_their_severity():
    calm = TRIVY._replace(findings=TRIVY.findings[5:6])  # CVE-2099-0004: low, no fix
    policy = STRICT._replace(ignore_unfixed=True, kev=frozenset({"CVE-2099-0004"}), epss={"CVE-2099-0004": 0.6})
    assert code(calm, policy) is None
    assert decide(calm, policy).findings[0].known_exploited
    assert code(calm, policy._replace(fail_on_kev=True)) == "vulnerabilities-found"
    assert code(calm, policy._replace(fail_on_kev=True, kev=frozenset({"CVE-1"}))) is None
    assert code(calm, policy._replace(fail_on_epss=0.5)) == "vulnerabilities-found"
    assert code(calm, policy._replace(fail_on_epss=0.7)) is None


def test_aliases_in_one_package_are_one_finding():
    one = Finding("CVE-1", "p", "1", Severity.LOW, ("GHSA-1",))
    two = Finding("GHSA-1", "p", "1", Severity.CRITICAL)
    elsewhere = Finding("GHSA-1", "q", "1", Severity.LOW)
    decision = decide(TRIVY._replace(findings=(one, two, elsewhere)))
    assert [(j.finding.id, j.finding.package, j.also) for j in decision.findings] == [
        ("GHSA-1", "p", ("CVE-1",)),
        ("GHSA-1", "q", ()),
    ]
    assert refused(decision) == {("GHSA-1", "p")}


def test_who_excuses_one_vulnerability_does_not_excuse_its_neighbour_in_an_advisory():
    advisory = Finding("ALAS-1", "p", "1", Severity.HIGH, related=("CVE-1", "CVE-2"))
    report = TRIVY._replace(findings=(advisory,))
    assert code(report, STRICT._replace(ignores=entry("{id: CVE-1, reason: r, expires: 2027-01-01}"))) is not None
    assert code(report, STRICT._replace(ignores=entry("{id: ALAS-1, reason: r, expires: 2027-01-01}"))) is None
    calm = report._replace(findings=(advisory._replace(severity=Severity.LOW),))
    exploited = STRICT._replace(kev=frozenset({"CVE-2"}), fail_on_kev=True)
    assert (code(calm), code(calm, exploited)) == (None, "vulnerabilities-found")
    two = [Finding(f"CVE-{n}", "p", "1", Severity.LOW, related=("DSA-1",)) for n in (1, 2)]
    assert len(decide(TRIVY._replace(findings=tuple(two))).findings) == 2


# -- whom the report is about


def image(digest, image_id=OTHER):
    return Target(f"x@{digest}", digest, (Part(digest, image_id),), "x")


def test_a_report_binds_by_manifest_or_image_id():
    assert decide().reports[0][1] == "manifest"
    before_the_push = TRIVY._replace(digests=frozenset())
    assert decide(before_the_push).reports[0][1] == "image id"
    elsewhere = TRIVY._replace(digests=frozenset({OTHER}))
    assert decide(elsewhere).reports[0][1] == "image id"


def test_a_report_about_another_image_is_refused():
    fine = STRICT._replace(fail_on=Severity.CRITICAL)
    assert code(policy=fine) is None
    assert code(policy=fine, target=image(OTHER)) == "report-other-image"
    # the digest of the tag's manifest, but another config: it says two things
    assert code(policy=fine, target=image(MANIFEST, OTHER)) == "report-other-image"


def test_a_report_about_nothing_needs_an_unsafe_word():
    osv = load("osv-scanner.json")
    policy = STRICT._replace(fail_on=Severity.CRITICAL)
    assert code(osv, policy) == "report-unbound"
    assert code(osv, policy._replace(unsafe_unbound=True)) == "vulnerabilities-found"
    calm = osv._replace(findings=osv.findings[1:])
    assert code(calm, policy) == "report-unbound"
    decision = decide(calm, policy._replace(unsafe_unbound=True))
    assert decision.accepted
    assert any("--unsafe-unbound-report" in note for note in decision.notes)


def test_an_index_needs_a_report_of_each_platform():
    index = "sha256:" + "a" * 64
    parts = (Part(MANIFEST, IMAGE_ID, "linux/amd64"), Part(OTHER, "sha256:" + "1" * 64, "linux/arm64"))
    target = Target(f"x@{index}", index, parts, "x")
    fine = STRICT._replace(fail_on=Severity.CRITICAL)
    assert code(TRIVY, fine, target) == "report-unbound"
    assert "linux/arm64" in decide(TRIVY, fine, target).refusal().message
    second = TRIVY._replace(digests=frozenset({OTHER}), image_ids=frozenset(), name="second")
    assert code([TRIVY, second], fine, target) is None
    # the digest of the index alone does not say which platform was scanned
    vague = TRIVY._replace(digests=frozenset({index}), image_ids=frozenset())
    assert code(vague, fine, target) == "report-other-image"
    assert code(vague, fine, target._replace(parts=parts[:1])) is None
    through = TRIVY._replace(digests=frozenset({index}))
    assert decide(through, fine, target._replace(parts=parts[:1])).reports[0][1] == "index"


def test_a_statement_and_the_scan_in_it_speak_of_one_image():
    fine = STRICT._replace(fail_on=Severity.CRITICAL)
    assert code(TRIVY._replace(subjects=frozenset({MANIFEST})), fine) is None
    assert code(TRIVY._replace(subjects=frozenset({OTHER})), fine) == "report-invalid"


def test_every_report_must_be_of_use():
    fine = STRICT._replace(fail_on=Severity.CRITICAL)
    stray = TRIVY._replace(digests=frozenset({OTHER}), image_ids=frozenset(), name="stray")
    assert code([TRIVY], fine) is None
    assert code([TRIVY, stray], fine) == "report-other-image"
    assert code([], fine) == "report-unbound"
    both = judge([TARGET, image(OTHER)], [TRIVY, stray], fine, now=NOW)
    assert [decision.accepted for decision in both] == [True, True]


# -- whether it is a scan, and a fresh one


def test_an_empty_report_is_no_clean_scan():
    document = json.loads((REPORTS / "trivy.json").read_bytes())

    def of(results):
        return reading.read(json.dumps(document | {"Results": results}).encode(), what="r")

    assert code(of([])) == code(of(None)) == "report-empty"
    assert code(of([{"Class": "secret", "Target": "x"}])) == "report-empty"
    assert code(of([{"Class": "os-pkgs", "Type": "debian", "Packages": []}])) == "report-empty"
    assert code(of([{"Class": "os-pkgs", "Type": "debian"}])) is None
    assert code(of([]), STRICT._replace(unsafe_empty=True)) is None


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"matches": [], "distro": {"name": ""}}, "report-empty"),
        ({"matches": []}, None),
    ],
)
def test_an_empty_report_of_grype(change, expected):
    document = json.loads((REPORTS / "grype.json").read_bytes()) | change
    target = document["source"]["target"]
    there = image(target["manifestDigest"], target["imageID"])
    assert code(reading.read(json.dumps(document).encode(), what="r"), target=there) == expected


@pytest.mark.parametrize("name", ["trivy.sarif.json", "cyclonedx.json"])
def test_no_finding_in_sarif_or_cyclonedx_proves_nothing(name):
    document = json.loads((REPORTS / name).read_bytes())
    assert code(load(name), STRICT._replace(fail_on=Severity.CRITICAL)) is None
    if "runs" in document:
        document["runs"][0]["results"] = []
    else:
        document["vulnerabilities"] = []
    assert code(reading.read(json.dumps(document).encode(), what="r")) == "report-empty"


def test_the_age_of_scan_and_database():
    fine = STRICT._replace(fail_on=Severity.CRITICAL)
    assert code(policy=fine._replace(max_age=7200.0)) is None
    assert code(policy=fine._replace(max_age=1800.0)) == "report-stale"
    assert code(TRIVY._replace(scanned_at=None), fine._replace(max_age=7200.0)) == "report-stale"
    assert code(TRIVY._replace(scanned_at=None), fine) is None
    assert code(policy=fine, now=NOW - 7200) == "report-stale"  # made in the future
    assert code(policy=fine._replace(max_database_age=7200.0)) == "report-stale"
    known = TRIVY._replace(database_at=NOW - 3600)
    assert code(known, fine._replace(max_database_age=7200.0)) is None
    assert code(known, fine._replace(max_database_age=1800.0)) == "report-stale"


# -- excuses


def entry(text):
    return ignores.read(f"ignore:\n  - {text}\n".encode(), what="ignore.yaml")


def test_an_ignored_finding_comes_back_when_the_entry_ends():
    policy = STRICT._replace(ignores=entry("{id: CVE-2099-0005, reason: r, expires: 2026-11-22}"))
    openssl = {("CVE-2099-0003", name) for name in ("libssl-dev", "libssl3", "openssl")}
    assert refused(decide(policy=policy)) == openssl
    later = decide(policy=policy, now=NOW + 86_400)
    assert refused(later) == openssl | {("CVE-2099-0005", "urllib3")}
    assert any("expired on 2026-11-22" in note for note in later.notes)


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("id: GHSA-aaaa-bbbb-cccc", True),
        ("id: ghsa-AAAA-bbbb-cccc", True),
        ("id: CVE-2099-0005, package: urllib3", True),
        ("id: CVE-2099-0005, package: requests", False),
        ("id: CVE-2099-0005, purl: 'pkg:pypi/urllib3'", True),
        ("id: CVE-2099-0005, purl: 'pkg:pypi/urllib3@2.8.0'", True),
        ("id: CVE-2099-0005, purl: 'pkg:pypi/urllib3@2.8.1'", False),
        ("id: CVE-2099-0005, purl: 'pkg:npm/urllib3'", False),
        ("id: CVE-2099-000", False),
    ],
)
def test_what_an_entry_is_about(text, matches):
    found = decide(policy=STRICT._replace(ignores=entry(f"{{{text}, reason: r, expires: 2027-01-01}}")))
    assert (("CVE-2099-0005", "urllib3") not in refused(found)) is matches
    assert any("unused" in note for note in found.notes) is not matches


PACKAGES = {"pkg:deb/debian/openssl", "pkg:deb/debian/libssl3"}


def openvex(product, *, name="CVE-2099-0003", status="not_affected", parts=(), **more):
    row = {"vulnerability": {"name": name}, "products": [product], "status": status}
    if parts:
        product["subcomponents"] = [{"@id": part} for part in parts]
    if status == "not_affected":
        row["justification"] = "vulnerable_code_not_in_execute_path"
    document = {
        "@context": "https://openvex.dev/ns/v0.2.0",
        "timestamp": "2026-11-01T00:00:00Z",
        "statements": [row | more],
    }
    return vex.read(json.dumps(document).encode(), what="vex.json")


BY_DIGEST = f"pkg:oci/real@{MANIFEST.replace(':', '%3A')}"
BY_PLACE = f"pkg:oci/real?repository_url={REPOSITORY}"
PRODUCTS = [
    ({"@id": BY_DIGEST}, True),
    ({"@id": BY_PLACE}, True),
    ({"@id": "https://x.test/1", "identifiers": {"purl": BY_DIGEST}}, True),
    ({"@id": "https://x.test/1", "hashes": {"sha-256": MANIFEST[7:]}}, True),
    ({"@id": "pkg:deb/debian/libssl3"}, True),
    ({"@id": "pkg:deb/debian/libssl3@3.0.19-1~deb12u2?arch=amd64"}, True),
    ({"@id": "pkg:oci/real"}, False),
    ({"@id": "pkg:oci/other?repository_url=127.0.0.1:15302/other"}, False),
    ({"@id": f"pkg:oci/real@{OTHER.replace(':', '%3A')}?repository_url={REPOSITORY}"}, False),
    ({"@id": "pkg:oci/real?repository_url=127.0.0.1:15302/real2"}, False),
    ({"@id": "https://x.test/1"}, False),
    ({"@id": "https://x.test/1", "hashes": {"sha-256": OTHER[7:]}}, False),
    ({"@id": "pkg:deb/ubuntu/libssl3"}, False),
    ({"@id": "pkg:deb/debian/libssl3@3.0.18"}, False),
    ({"@id": "pkg:deb/debian/libssl3?arch=arm64"}, False),
    ({"@id": "pkg:rpm/debian/libssl3"}, False),
]


@pytest.mark.parametrize(("product", "excused"), PRODUCTS)
def test_a_statement_excuses_only_its_product(product, excused):
    policy = STRICT._replace(statements=openvex(product))
    assert (("CVE-2099-0003", "libssl3") not in refused(decide(policy=policy))) is excused
    assert ("CVE-2099-0005", "urllib3") in refused(decide(policy=policy))


def test_parts_of_a_product_and_source_packages():
    def excused(*parts, report=TRIVY):
        policy = STRICT._replace(statements=openvex({"@id": BY_DIGEST}, parts=parts))
        return {"libssl-dev", "libssl3", "openssl"} - {package for _, package in refused(decide(report, policy))}

    assert excused("pkg:deb/debian/openssl") == {"openssl"}
    built = [f._replace(source_package="openssl") if "libssl" in f.package else f for f in TRIVY.findings]
    assert excused("pkg:deb/debian/openssl", report=TRIVY._replace(findings=tuple(built))) == {
        "libssl-dev", "libssl3", "openssl",
    }  # fmt: skip
    upstream = [f._replace(purl=(f.purl or "") + "&upstream=openssl") for f in TRIVY.findings]
    assert len(excused("pkg:deb/debian/openssl", report=TRIVY._replace(findings=tuple(upstream)))) == 3
    assert excused("pkg:deb/debian/zlib") == set()


@pytest.mark.parametrize(
    ("status", "excused"),
    [("not_affected", True), ("fixed", True), ("affected", False), ("under_investigation", False)],
)
def test_the_status_decides(status, excused):
    policy = STRICT._replace(statements=openvex({"@id": BY_DIGEST}, status=status))
    assert (("CVE-2099-0003", "libssl3") not in refused(decide(policy=policy))) is excused


def test_the_latest_statement_counts_and_of_two_equals_the_one_that_does_not_excuse():
    good = openvex({"@id": BY_DIGEST})
    same = openvex({"@id": BY_DIGEST}, status="affected")
    later = openvex({"@id": BY_DIGEST}, status="affected", timestamp="2026-11-02T00:00:00Z")
    last = openvex({"@id": BY_DIGEST}, timestamp="2026-11-03T00:00:00Z")
    for statements, excused in ((good, True), (good + same, False), (good + later, False), (later + last + good, True)):
        decision = decide(policy=STRICT._replace(statements=statements))
        assert (("CVE-2099-0003", "libssl3") not in refused(decision)) is excused


@pytest.mark.parametrize("name", ["openvex.json", "cyclonedx-vex.json", "csaf.json"])
def test_every_kind_of_vex(name):
    statements = vex.read((REPORTS / name).read_bytes(), what=name)
    findings = [f._replace(source_package="openssl") if "libssl" in f.package else f for f in TRIVY.findings]
    report = TRIVY._replace(findings=tuple(findings))
    everything = STRICT._replace(fail_on=Severity.NEGLIGIBLE)
    before = refused(decide(report, everything))
    gone = before - refused(decide(report, everything._replace(statements=statements)))
    openssl = {("CVE-2099-0003", package) for package in ("libssl-dev", "libssl3", "openssl")}
    expected = {
        "openvex.json": openssl | {("CVE-2099-0001", "bash")},
        "cyclonedx-vex.json": {("CVE-2099-0003", "libssl3")},
        "csaf.json": openssl,
    }
    assert gone == expected[name]
    elsewhere = TARGET._replace(
        digest=OTHER, parts=(Part(OTHER, "sha256:" + "2" * 64),), repository="127.0.0.1:15302/other"
    )
    moved = report._replace(digests=frozenset({OTHER}), image_ids=frozenset())
    assert refused(decide(moved, everything._replace(statements=statements), elsewhere)) == before


# -- properties

SEVERITIES = st.sampled_from(Severity)
NAMES = st.sampled_from(["CVE-1", "CVE-2", "GHSA-1", "GHSA-2"])
FINDINGS = st.builds(
    Finding,
    id=NAMES,
    package=st.sampled_from(["p", "q"]),
    version=st.just("1"),
    severity=SEVERITIES,
    aliases=st.lists(NAMES, max_size=2).map(tuple),
    purl=st.sampled_from([None, "pkg:deb/debian/p@1", "pkg:pypi/q@1"]),
    ratings=st.lists(st.builds(Rating, st.sampled_from(["nvd", "debian"]), SEVERITIES), max_size=2).map(tuple),
    status=st.sampled_from(["fixed", "unknown", "affected", "wont-fix"]),
    known_exploited=st.booleans(),
)
ENTRIES = entry("{id: CVE-1, reason: r, expires: 2027-01-01}") + entry(
    "{id: GHSA-2, package: q, reason: r, expires: 2027-01-01}"
)
POLICIES = st.builds(
    Policy,
    fail_on=SEVERITIES.filter(bool),
    severity_source=st.sampled_from(["vendor", "nvd", "highest"]),
    unknown=SEVERITIES.filter(lambda severity: severity >= Severity.LOW),
    ignore_unfixed=st.booleans(),
    fail_on_kev=st.booleans(),
    ignores=st.sampled_from([(), ENTRIES]),
)


def of(findings):
    return TRIVY._replace(findings=tuple(findings))


@given(st.lists(FINDINGS, max_size=6), POLICIES, st.data())
def test_taking_findings_away_never_turns_a_pass_into_a_refusal(findings, policy, data):
    kept = data.draw(st.lists(st.sampled_from(findings), unique=True)) if findings else []
    if decide(of(findings), policy).accepted:
        assert decide(of(kept), policy).accepted


@given(st.lists(FINDINGS, max_size=6), POLICIES, st.sampled_from([p for p, excused in PRODUCTS if not excused]))
def test_vex_of_another_product_changes_nothing(findings, policy, product):
    statements = tuple(s for name in ("CVE-1", "CVE-2", "GHSA-1", "GHSA-2") for s in openvex(dict(product), name=name))
    without, decision = (decide(of(findings), each) for each in (policy, policy._replace(statements=statements)))
    assert (decision.findings, decision.accepted, decision.notes) == (without.findings, without.accepted, without.notes)


@given(st.lists(FINDINGS, max_size=6), POLICIES)
def test_unknown_severities_are_no_better_than_what_they_count_as(findings, policy):
    known = [
        f._replace(severity=policy.unknown) if f.severity is Severity.UNKNOWN and not f.ratings else f for f in findings
    ]
    assert decide(of(findings), policy).accepted == decide(of(known), policy).accepted


@given(st.lists(FINDINGS, max_size=8), POLICIES)
def test_no_finding_is_lost(findings, policy):
    decision = decide(of(findings), policy)
    assert {f.id for f in findings} <= {n for one in decision.findings for n in (one.finding.id, *one.also)}
