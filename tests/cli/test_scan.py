"""`sealgate scan`, and the gate of `sign` and `attest`: reports by hand, a scanner that is a script, what is printed."""

import json
import os
import time
import xml.etree.ElementTree as ET
from base64 import b64decode
from pathlib import Path

import pytest

from peers.images import Client, descriptor, digest_of, push_image

REPORTS = Path(__file__).parents[1] / "scan" / "reports"
HIGH = ["CVE-2099-0003", "CVE-2099-0005"]


def config_of(image):
    return image.document["config"]["digest"]


def trivy(image, *, severities=("MEDIUM",), age=0, **more):
    """A report of Trivy about `image`, with one finding of each severity."""
    document = json.loads((REPORTS / "trivy.json").read_bytes())
    document["CreatedAt"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - age))
    document["ArtifactName"] = image.tagged
    document["Metadata"] |= {"ImageID": config_of(image), "RepoDigests": [image.reference], "RepoTags": [image.tagged]}
    rows = document["Results"][0]["Vulnerabilities"]
    document["Results"] = [
        {
            "Class": "os-pkgs",
            "Type": "debian",
            "Vulnerabilities": [
                rows[0] | {"VulnerabilityID": f"CVE-2099-100{number}", "Severity": severity}
                for number, severity in enumerate(severities)
            ],
        }
    ]
    return document | more


@pytest.fixture
def image(docker_registry):
    return push_image(docker_registry, "scan/image")


@pytest.fixture
def write(tmp_path):
    def run(document, name="report.json"):
        path = tmp_path / name
        path.write_bytes(document if isinstance(document, bytes) else json.dumps(document).encode())
        return path

    return run


def test_a_clean_report_passes_and_a_critical_one_is_refused(cli, image, write):
    said = cli("scan", "--report", write(trivy(image)), image.reference)
    assert said.code == 0
    assert f"passed: {image.reference}" in said.out
    assert "bound by manifest" in said.out
    assert "medium" in said.out
    assert "99.0-1" in said.out
    said = cli("scan", "--report", write(trivy(image, severities=["CRITICAL", "LOW"])), image.reference)
    assert said.code == 16
    assert "[vulnerabilities-found]" in said.err
    assert f"refused: {image.reference}" in said.out
    assert cli("scan", "--report", "-", image.reference, input=json.dumps(trivy(image))).code == 0


def test_a_tag_is_judged_as_what_it_points_to(cli, image, write):
    report = write(trivy(image))
    assert cli("scan", "--report", report, image.tagged).code == 0
    moved = push_image(image.host, image.repository, image.tag)
    said = cli("scan", "--report", report, moved.tagged)
    assert said.code == 16
    assert "[report-other-image]" in said.err


def test_refusals_have_their_codes(cli, image, write):
    fine = trivy(image, age=3600)
    assert cli("scan", "--max-age", "2h", "--report", write(fine), image.reference).code == 0
    cases = {
        "report-stale": (["--max-age", "30m"], fine),
        "report-invalid": ([], json.dumps(fine).encode()[:-20]),
        "report-empty": ([], fine | {"Results": []}),
        "report-unsupported": ([], {"hello": "world"}),
        "report-unbound": ([], fine | {"Metadata": {}}),
    }
    for code, (flags, document) in cases.items():
        said = cli("scan", *flags, "--report", write(document), image.reference)
        assert (said.code, f"[{code}]" in said.err) == (16, True), (code, said)
    assert cli("scan", "--report", write(fine), f"{image.name}:nothing").code == 11
    for flags in (
        ["--fail-on-kev"],
        ["--fail-on-epss", "0.5"],
        ["--max-age", "soon"],
        ["--scanner", "trivy"],
        ["--attest"],
    ):
        said = cli("scan", *flags, "--report", write(fine), image.reference)
        assert (said.code, "[usage]" in said.err) == (2, True), flags


def test_json(cli, image, write):
    ignore = write(b"ignore: [{id: CVE-2099-1000, reason: accepted, expires: 2099-01-01}]", "ignore.yaml")
    report = write(trivy(image, severities=["CRITICAL", "UNKNOWN"]))
    said = cli("scan", "-o", "json", "--ignore-file", ignore, "--report", report, image.reference)
    found = json.loads(said.out)
    assert said.code == 16
    assert (found["accepted"], found["code"], found["digest"]) == (False, "vulnerabilities-found", image.digest)
    assert [(row["id"], row["severity"], row["outcome"]) for row in found["findings"]] == [
        ("CVE-2099-1001", "critical", "refused"),  # NVD says so, and the vendor does not know
        ("CVE-2099-1000", "critical", "ignored"),
    ]
    assert found["findings"][1]["why"] == "until 2099-01-01: accepted"
    assert found["reports"][0]["boundBy"] == "manifest"
    said = cli("scan", "-o", "json", "--report", write(trivy(image)), image.reference)
    assert (said.code, json.loads(said.out)["code"]) == (0, "accepted")


def test_sarif_and_junit(cli, image, write):
    report = write(trivy(image, severities=["CRITICAL", "LOW"]))
    said = cli("scan", "-o", "sarif", "--report", report, image.reference)
    [run] = json.loads(said.out)["runs"]
    assert [(row["ruleId"], row["level"]) for row in run["results"]] == [
        ("CVE-2099-1000", "error"),
        ("CVE-2099-1001", "note"),
    ]
    assert [run["tool"]["driver"]["rules"][row["ruleIndex"]]["id"] for row in run["results"]] == [
        "CVE-2099-1000",
        "CVE-2099-1001",
    ]
    said = cli("scan", "-o", "junit", "--report", report, image.reference)
    suite = ET.fromstring(said.out)
    assert (suite.get("tests"), suite.get("failures")) == ("3", "2")
    assert suite.find("testcase/failure").get("type") == "vulnerabilities-found"


@pytest.mark.parametrize("output", ["text", "json", "sarif", "junit"])
@pytest.mark.parametrize(
    ("spoil", "code"), [(lambda raw: raw[:-20], "report-invalid"), (lambda raw: b"[" * 5000, "report-too-large")], ids=["cut", "deep"]
)  # fmt: skip
def test_a_report_that_cannot_be_read_is_a_refusal_in_every_output(cli, image, write, output, spoil, code):
    raw = json.dumps(trivy(image)).encode()
    assert cli("scan", "-o", output, "--report", write(raw), image.reference).code == 0
    said = cli("scan", "-o", output, "--report", write(spoil(raw)), image.reference)
    assert (said.code, f"[{code}]" in said.err) == (16, True)
    assert code in said.out
    if output == "junit":
        assert ET.fromstring(said.out).get("failures") == "1"
    elif output != "text":
        assert json.loads(said.out)


def test_control_characters_of_a_report_reach_no_terminal(cli, image, write):
    document = trivy(image)
    document["Results"][0]["Vulnerabilities"][0] |= {"PkgName": "\x1b[2Jbash\u202e", "FixedVersion": "1\n2"}
    for output in ("text", "junit"):
        said = cli("scan", "-o", output, "--report", write(document), image.reference)
        assert said.code == 0
        assert "\x1b" not in said.out
        assert "\u202e" not in said.out


def test_an_index_needs_a_report_for_every_platform(cli, docker_registry, write):
    index = push_image(docker_registry, "scan/index", kind="index")
    first, second = (write(trivy(child), f"{number}.json") for number, child in enumerate(index.children))
    assert cli("scan", "--report", first, "--report", second, index.tagged).code == 0
    said = cli("scan", "--report", first, index.tagged)
    assert (said.code, "[report-unbound]" in said.err) == (16, True)
    assert "linux/arm64" in said.err
    assert cli("scan", "--report", first, index.children[0].reference).code == 0
    assert cli("scan", "--report", first, index.children[1].reference).code == 16


@pytest.mark.parametrize(
    "media_type", ["application/vnd.oci.empty.v1+json", "application/vnd.oci.image.config.v1+json"]
)
def test_the_config_that_all_artifacts_share_binds_no_report(cli, docker_registry, write, media_type):
    """The digest of `{}` commits to no layer. The manifest's own digest does."""
    client = Client(docker_registry)
    config, layer = b"{}", b"whatever is in it"
    for blob in (config, layer):
        client.put_blob("scan/artifact", blob)
    document = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor(media_type, config),
        "layers": [descriptor("application/octet-stream", layer)],
    }
    digest = client.put_manifest("scan/artifact", "v1", json.dumps(document).encode(), document["mediaType"])
    name = f"{docker_registry}/scan/artifact@{digest}"
    report = trivy(push_image(docker_registry, "scan/image"))
    report["Metadata"] |= {"ImageID": digest_of(config), "RepoDigests": []}
    said = cli("scan", "--report", write(report), name)
    assert (said.code, "[report-other-image]" in said.err) == (16, True)
    report["Metadata"] |= {"ImageID": None, "RepoDigests": [name]}
    assert cli("scan", "--report", write(report), name).code == 0


def test_several_images_share_their_reports(cli, docker_registry, write):
    one, two = (push_image(docker_registry, f"scan/{name}") for name in ("one", "two"))
    reports = ("--report", write(trivy(one), "1.json"), "--report", write(trivy(two), "2.json"))
    said = cli("scan", *reports, one.reference, two.reference)
    assert said.code == 0
    assert said.out.count("passed: ") == 2
    assert cli("scan", *reports, one.reference).code == 16  # the second report is of no use


def test_an_entry_of_an_index_hides_only_when_no_platform_can_run_it(cli, docker_registry, write):
    index = push_image(docker_registry, "scan/hidden", kind="index")
    report = write(trivy(index.children[0]))
    for platform, code in (("unknown", 0), (None, 16), ("linux", 16)):
        document = json.loads(index.raw)
        entry = document["manifests"][1]
        entry["annotations"] = {"vnd.docker.reference.type": "attestation-manifest"}
        entry["platform"] = {"os": platform, "architecture": "unknown" if platform == "unknown" else "arm64"}
        if platform is None:
            del entry["platform"]
        raw = json.dumps(document).encode()
        digest = Client(index.host).put_manifest(index.repository, None, raw, index.media_type)
        assert cli("scan", "--report", report, f"{index.name}@{digest}").code == code, platform


def test_a_layout_is_judged_by_the_image_id(cli, image, write, tmp_path):
    assert cli("save", "--dir", tmp_path / "layout", image.reference).code == 0
    report = write(trivy(image, Metadata={"ImageID": config_of(image)}))
    said = cli("scan", "--report", report, f"oci:{tmp_path / 'layout'}")
    assert (said.code, "bound by image id" in said.out) == (0, True), said
    other = write(trivy(push_image(image.host, "scan/elsewhere")), "other.json")
    assert cli("scan", "--report", other, f"oci:{tmp_path / 'layout'}").code == 16


# -- the scanner on the PATH


SCRIPT = """#!{python}
import json, os, sys
with open({log!r}, "w") as file:
    json.dump({{"argv": sys.argv, "environ": dict(os.environ), "cwd": os.listdir(".")}}, file)
{body}
"""


@pytest.fixture
def scanner(tmp_path):
    """`scanner("trivy", body)` puts a program of that name into a folder, and answers with it."""
    import sys

    def make(name, body):
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        program = folder / name
        program.write_text(SCRIPT.format(python=sys.executable, log=str(tmp_path / "log.json"), body=body))
        program.chmod(0o755)
        return str(folder)

    return make


def prints(document):
    return f"sys.stdout.write({json.dumps(document)!r})"


def test_the_scanner_is_asked_for_a_digest_and_told_no_secret(cli, image, scanner, tmp_path, password):
    path = scanner("trivy", prints(trivy(image)))
    env = {"PATH": path, "COSIGN_PASSWORD": password, "TRIVY_CACHE_DIR": "/cache", "TRIVY_SEVERITY": "LOW"}
    said = cli("scan", image.tagged, env=env)
    assert said.code == 0
    log = json.loads((tmp_path / "log.json").read_text())
    assert log["argv"][1:] == [
        "image", "--quiet", "--format", "json", "--scanners", "vuln", "--list-all-pkgs", image.reference,
    ]  # fmt: skip
    assert log["environ"]["TRIVY_CACHE_DIR"] == "/cache"
    assert not {"COSIGN_PASSWORD", "TRIVY_SEVERITY"} & log["environ"].keys()
    assert log["cwd"] == []


def test_X05_a_scanner_that_lies_in_the_working_directory_is_not_run(cli, image, scanner, tmp_path, monkeypatch):
    folder = scanner("trivy", prints(trivy(image)))
    monkeypatch.chdir(folder)
    for path in ("", ".", ":", "/nowhere:", f"{os.pardir}/bin"):
        said = cli("scan", image.reference, env={"PATH": path})
        assert (said.code, "[scanner-failed]" in said.err) == (14, True), path
    assert not (tmp_path / "log.json").exists()
    assert cli("scan", image.reference, env={"PATH": f".:{folder}"}).code == 0


def test_grype_is_run_when_it_is_there_or_asked_for(cli, image, scanner, tmp_path):
    document = json.loads((REPORTS / "grype.json").read_bytes())
    document["source"]["target"] |= {"manifestDigest": image.digest, "imageID": config_of(image)}
    path = scanner("grype", prints(document))
    assert cli("scan", image.reference, env={"PATH": path}).code == 16
    assert json.loads((tmp_path / "log.json").read_text())["argv"][1:] == [
        "--quiet", "-o", "json", f"registry:{image.reference}",
    ]  # fmt: skip
    scanner("trivy", prints(trivy(image)))
    assert cli("scan", image.reference, env={"PATH": path}).code == 0
    assert cli("scan", "--scanner", "grype", image.reference, env={"PATH": path}).code == 16


@pytest.mark.parametrize(
    "body",
    ["sys.exit('no database')", "import time; time.sleep(60)"],
    ids=["fails", "never ends"],
)
def test_a_scanner_that_does_not_get_to_an_end_is_no_verdict(cli, image, scanner, body):
    path = scanner("trivy", body)
    said = cli("scan", "--scan-timeout", "1s", image.reference, env={"PATH": path})
    assert (said.code, "[scanner-failed]" in said.err) == (14, True)
    said = cli("scan", image.reference, env={"PATH": "/nowhere"})
    assert (said.code, "[scanner-failed]" in said.err) == (14, True)


def test_a_scanner_that_says_too_much_is_ended(cli, image, scanner, monkeypatch):
    from sealgate import limits

    monkeypatch.setattr(limits, "SCAN_REPORT_BYTES", 100_000)
    said = cli("scan", image.reference, env={"PATH": scanner("trivy", "while True: sys.stdout.write('x' * 65536)")})
    assert (said.code, "[scanner-failed]" in said.err) == (14, True)
    assert cli("scan", image.reference, env={"PATH": scanner("trivy", prints(trivy(image)))}).code == 0


def test_what_a_scanner_says_of_another_image_is_refused(cli, image, docker_registry, scanner):
    other = push_image(docker_registry, "scan/other")
    said = cli("scan", image.reference, env={"PATH": scanner("trivy", prints(trivy(other)))})
    assert (said.code, "[report-other-image]" in said.err) == (16, True)


# -- sign and attest


def everything(image):
    """Every tag of the repository with the digest it points to."""
    client = Client(image.host)
    return {tag: client.get_manifest(image.repository, tag).body for tag in client.tags(image.repository)}


GATED = {
    "sign": ["sign"],
    "attest": ["attest", "--type", "custom", "--predicate"],
}


@pytest.mark.parametrize("command", GATED)
def test_a_refusal_leaves_nothing_behind(cli, image, key, write, command):
    words = [*GATED[command]]
    if command == "attest":
        words.append(write(b"hello", "predicate"))
    bad, good = write(trivy(image, severities=["CRITICAL"]), "bad.json"), write(trivy(image), "good.json")
    before = everything(image)
    sign = [*words, "--key", key.private, "--format", "both"]
    said = cli(*sign, "--scan-report", bad, "--fail-on", "critical", image.reference)
    assert (said.code, "[vulnerabilities-found]" in said.err) == (16, True)
    assert everything(image) == before
    assert cli("verify", "--key", key.public, image.reference).code == 10
    assert cli(*sign, "--scan-report", good, "--fail-on", "critical", image.reference).code == 0
    assert everything(image) != before


def test_the_image_that_was_signed_is_the_one_that_was_judged(cli, image, key, write):
    report = write(trivy(image))
    assert cli("sign", "--key", key.private, "--scan-report", report, image.tagged).code == 0
    assert cli("verify", "--key", key.public, image.reference).code == 0
    moved = push_image(image.host, image.repository, image.tag)
    before = everything(moved)
    said = cli("sign", "--key", key.private, "--scan-report", report, moved.tagged)
    assert (said.code, "[report-other-image]" in said.err) == (16, True)
    assert everything(moved) == before


def test_one_refused_image_keeps_all_of_them_from_being_signed(cli, docker_registry, key, write):
    good, bad = (push_image(docker_registry, f"scan/gate-{name}") for name in ("good", "bad"))
    reports = [
        "--scan-report", write(trivy(good), "1.json"),
        "--scan-report", write(trivy(bad, severities=["CRITICAL"]), "2.json"),
    ]  # fmt: skip
    before = everything(good)
    assert cli("sign", "--key", key.private, *reports, good.reference, bad.reference).code == 16
    assert everything(good) == before
    assert cli("sign", "--key", key.private, *reports[:2], good.reference).code == 0


def test_an_index_is_signed_with_reports_of_all_its_platforms(cli, docker_registry, key, write):
    index = push_image(docker_registry, "scan/gate-index", kind="index")
    reports = [w for n, child in enumerate(index.children) for w in ("--scan-report", write(trivy(child), f"{n}.json"))]
    assert cli("sign", "-r", "--key", key.private, *reports[:2], index.tagged).code == 16
    assert cli("sign", "-r", "--key", key.private, *reports, index.tagged).code == 0
    assert cli("verify", "--key", key.public, index.children[1].reference).code == 0


def test_scan_sign_and_attest_have_the_same_gate():
    from sealgate.cli.__main__ import parser

    def gate(name):
        (group,) = [group for group in parser(name)._action_groups if group.title == "scan gate"]
        return {
            (
                action.dest,
                tuple(action.option_strings) if action.dest != "scan_report" else (),
                action.help,
                repr(action.default),
            )
            for action in group._group_actions
        }

    assert len(gate("scan")) == 15
    assert gate("scan") == gate("sign") == gate("attest")


def test_options_of_the_gate_without_a_report_are_a_mistake(cli, image, key):
    for flags in (["--fail-on", "critical"], ["--ignore-unfixed"], ["--vex", "x"], ["--max-age", "1h"]):
        said = cli("sign", "--key", key.private, *flags, image.reference)
        assert (said.code, "[usage]" in said.err) == (2, True), flags
    assert cli("sign", "--key", key.private, image.reference).code == 0


# -- attesting what was found


def test_the_report_is_attested_and_verifies(cli, image, key, write):
    report = write(trivy(image))
    openvex = {
        "@context": "https://openvex.dev/ns/v0.2.0", "@id": "https://example.test/1", "author": "a",
        "timestamp": "2026-11-01T00:00:00Z", "version": 1,
        "statements": [
            {"vulnerability": {"name": "CVE-1"}, "products": [{"@id": "pkg:oci/x"}], "status": "under_investigation"}
        ],
    }  # fmt: skip
    vex = write(openvex, "vex.json")
    said = cli(
        "scan", "--attest", "--key", key.private, "--format", "both", "--report", report, "--vex", vex, image.reference
    )
    assert said.code == 0, said.err
    for kind in ("vuln", "openvex"):
        assert cli("verify-attestation", "--type", kind, "--key", key.public, image.reference).code == 0
    said = cli("verify-attestation", "--type", "vuln", "--key", key.public, image.reference)
    statement = json.loads(b64decode(json.loads(said.out.splitlines()[0])["payload"]))
    assert statement["predicate"]["scanner"]["result"] == json.loads(report.read_bytes())
    assert statement["predicate"]["metadata"]["scanFinishedOn"] == json.loads(report.read_bytes())["CreatedAt"]
    again = write(statement, "attested.json")
    assert cli("scan", "--report", again, image.reference).code == 0


@pytest.mark.parametrize(("peer", "format_"), [("cosign3", "bundle"), ("cosign3", "legacy"), ("cosign2", "legacy")])
def test_cosign_reads_the_attested_report(request, cli, image, key, write, peer, format_):
    cosign = request.getfixturevalue(peer)
    report = write(trivy(image))
    scan = ["scan", "--attest", "--key", key.private, "--format", format_, "--report", report]
    assert cli(*scan, image.reference).code == 0
    flags = ["--insecure-ignore-tlog=true", f"--new-bundle-format={'true' if format_ == 'bundle' else 'false'}"]
    done = cosign("verify-attestation", "--type", "vuln", "--key", key.public, *flags, image.reference)
    assert done.returncode == 0, done.stderr
    statement = json.loads(b64decode(json.loads(done.stdout.splitlines()[0])["payload"]))
    assert statement["predicate"]["scanner"]["result"]["ArtifactName"] == image.tagged


def test_a_refused_image_gets_no_attestation(cli, image, key, write):
    before = everything(image)
    report = write(trivy(image, severities=["CRITICAL"]))
    assert cli("scan", "--attest", "--key", key.private, "--report", report, image.reference).code == 16
    assert everything(image) == before


def test_only_what_a_scanner_wrote_itself_is_attested(cli, image, key, write):
    document = json.loads((REPORTS / "trivy.sarif.json").read_bytes())
    document["runs"][0]["properties"] |= {"imageID": config_of(image), "repoDigests": [image.reference]}
    report = write(document)
    assert cli("scan", "--fail-on", "critical", "--report", report, image.reference).code == 0
    said = cli("scan", "--attest", "--key", key.private, "--fail-on", "critical", "--report", report, image.reference)
    assert (said.code, "[report-unsupported]" in said.err) == (16, True)


@pytest.mark.skipif(
    not any(os.access(f"{p}/trivy", os.X_OK) for p in os.get_exec_path()), reason="no trivy on the PATH"
)
def test_real_trivy_without_a_database_is_no_verdict(cli, image):
    env = {"PATH": os.environ["PATH"], "TRIVY_SKIP_DB_UPDATE": "true", "TRIVY_OFFLINE_SCAN": "true"}
    said = cli("scan", "--scanner", "trivy", image.reference, env=env)
    assert (said.code, "[scanner-failed]" in said.err) == (14, True)


def test_a_report_is_attested_without_a_key(cli, image, write, trust_service, tmp_path):
    files = trust_service.files(tmp_path / "services")
    (tmp_path / "token").write_text(trust_service.token())
    services = ("--signing-config", files.signing_config, "--trusted-root", files.trusted_root)
    report = ("--report", write(trivy(image)), image.reference)
    assert cli("scan", *services, *report).code == 2  # nothing is signed without --attest
    said = cli("scan", "--attest", *services, "--identity-token", tmp_path / "token", *report)
    assert said.code == 0, said.err
    who = ("--certificate-identity", "signer@example.test", "--certificate-oidc-issuer", trust_service.issuer.url)
    verify = ("verify-attestation", "--type", "vuln", "--trusted-root", files.trusted_root, *who)
    assert cli(*verify, image.reference).code == 0
