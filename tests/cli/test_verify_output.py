"""What `sealgate verify` prints: cosign's JSON and text byte for byte, the verdict by its schema, SARIF, JUnit, people's view."""

import json
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest

from peers.images import Client, push_image
from peers.programs import ROOT

OFFLINE = ("--use-signing-config=false", "--tlog-upload=false", "-y")
SCHEMA = ROOT / "src" / "sealgate" / "verification" / "verdict.schema.json"
HOSTILE = "\x1b[2J\r\nError: all is well [accepted]\u202e\x07"


@pytest.fixture
def image(docker_registry):
    return push_image(docker_registry, "output/image")


@pytest.fixture(scope="module")
def pair(cosign3, tmp_path_factory):
    prefix = tmp_path_factory.mktemp("cosign") / "cosign"
    cosign3("generate-key-pair", "--output-key-prefix", prefix, check=True)
    return str(prefix)


def schema():
    return json.loads(SCHEMA.read_text(encoding="utf-8"))


def check_verdict(document):
    jsonschema.Draft202012Validator(schema()).validate(document)


# -- as cosign


ANNOTATIONS = {
    "none": [],
    "one": ["-a", "env=prod"],
    "sorted": ["-a", "z=1", "-a", "build.id=42,env=prod"],
    "escapes": ["-a", "html=<b>&</b>", "-a", "text=é \U0001f512 \\ / tab\there"],
}


@pytest.mark.parametrize("annotations", ANNOTATIONS.values(), ids=ANNOTATIONS.keys())
@pytest.mark.parametrize("new_format", [True, False], ids=["bundle", "legacy"])
def test_json_and_text_equal_cosign_s(cli, cosign3, image, pair, new_format, annotations):
    flag = f"--new-bundle-format={str(new_format).lower()}"
    cosign3("sign", "--key", f"{pair}.key", *OFFLINE, flag, *annotations, image.reference, check=True)
    asked = ("verify", "--key", f"{pair}.pub", "--insecure-ignore-tlog", *annotations)
    for output in ("json", "text"):
        for name in (image.reference, image.tagged):
            theirs = cosign3(*asked, "-o", output, name, check=True)
            ours = cli(*asked, "-o", output, name)
            assert (ours.code, ours.out) == (0, theirs.stdout)
    assert cli(*asked, image.reference).out == cosign3(*asked, image.reference, check=True).stdout


@pytest.mark.parametrize("formats", [["bundle"], ["legacy"]], ids="+".join)
def test_json_of_what_sealgate_signed_equals_cosign_s(cli, cosign3, image, key, sign, formats):
    sign(image, key, formats=formats, annotations={"env": "prod", "quote": '"<>&'})
    sign(image, key, formats=formats)
    asked = ("verify", "--key", key.public, "--insecure-ignore-tlog")
    for output in ("json", "text"):
        theirs = cosign3(*asked, "-o", output, image.tagged, check=True).stdout
        ours = cli(*asked, "-o", output, image.tagged).out
        if formats == ["bundle"] and output == "json":  # the order of referrers is the index's
            assert _sorted(ours) == _sorted(theirs)
        elif formats == ["bundle"]:
            assert sorted(ours.splitlines()) == sorted(theirs.splitlines())
        else:
            assert ours == theirs


def _sorted(out):
    return sorted(json.dumps(each) for each in json.loads(out))


def test_several_images_as_cosign_prints_them(cli, cosign3, docker_registry, pair):
    images = [push_image(docker_registry, f"output/several{number}").reference for number in range(3)]
    for name in images:
        cosign3("sign", "--key", f"{pair}.key", *OFFLINE, name, check=True)
    asked = ("verify", "--key", f"{pair}.pub", "--insecure-ignore-tlog", *images)
    for output in ("json", "text"):
        assert cli(*asked, "-o", output).out == cosign3(*asked, "-o", output, check=True).stdout


def test_only_good_signatures_are_printed(cli, image, key, other, sign):
    sign(image, key, other, formats=["bundle", "legacy"])
    said = cli("verify", "--key", key.public, image.reference)
    assert len(json.loads(said.out)) == 2
    assert cli("verify", "--key", key.public, "-o", "text", image.reference).out.count("\n") == 2


# -- the verdict


def test_the_published_schema_is_the_one_in_the_package():
    assert (ROOT / "docs" / "verdict.schema.json").read_bytes() == SCHEMA.read_bytes()
    jsonschema.Draft202012Validator.check_schema(schema())


def test_an_accepted_verdict(cli, image, key, sign):
    sign(image, key, formats=["bundle", "legacy"], annotations={"env": "prod"})
    said = cli("verify", "--key", key.public, "-a", "env=prod", "-o", "verdict", image.tagged)
    assert said.code == 0
    found = json.loads(said.out)
    check_verdict(found)
    assert found["schema"] == "sealgate.dev/verdict/v1"
    assert (found["outcome"], found["code"], found["exitCode"]) == ("accepted", "accepted", 0)
    assert (found["image"], found["digest"]) == (image.tagged, image.digest)
    assert [note["code"] for note in found["notes"]] == ["transparency-log-not-asked"]
    for report in found["signatures"]:
        assert report["key"]["fingerprint"] == key.handle.public_key.fingerprint
        assert report["annotations"] == {"env": "prod"}
        assert {finding["outcome"] for finding in report["findings"]} == {"passed"}


@pytest.mark.parametrize("case", ["no-signature", "image-not-found", "registry-unreachable", "denied-digest"])
def test_verdicts_of_what_was_not_accepted(cli, image, key, sign, tmp_path, case):
    (tmp_path / "deny").write_text(f"digest {image.digest} recalled\n")
    name, more, code = {
        "no-signature": (image.reference, [], 10),
        "image-not-found": (f"{image.name}:nope", [], 11),
        "registry-unreachable": ("127.0.0.1:1/a/b:c", [], 14),
        "denied-digest": (image.reference, ["--deny", tmp_path / "deny"], 16),
    }[case]
    said = cli("verify", "--key", key.public, *more, "-o", "verdict", name)
    found = json.loads(said.out)
    check_verdict(found)
    assert (found["code"], found["exitCode"], said.code) == (case, code, code)
    assert found["outcome"] == ("unknown" if code == 14 else "refused")


def test_verdicts_of_bad_evidence(cli, docker_registry, key, other, sign):
    images = [push_image(docker_registry, f"output/bad{number}") for number in range(4)]
    sign(images[0], other, formats=["bundle", "legacy"])
    sign(images[1], key, annotations={"env": "test"})
    sign(images[2], key, formats=["bundle", "legacy"])
    copied = push_image(docker_registry, "output/bad2")
    client = Client(docker_registry)
    for suffix in ("", ".sig"):
        raw = client.get_manifest("output/bad2", images[2].digest.replace(":", "-") + suffix).body
        client.put_manifest("output/bad2", copied.digest.replace(":", "-") + suffix, raw, json.loads(raw)["mediaType"])
    names = [images[0].reference, images[1].reference, copied.reference, images[3].reference]
    said = cli("verify", "--key", key.public, "-a", "env=prod", "-o", "verdict", *names)
    found = json.loads(said.out)
    assert len(found) == 4
    for document in found:
        check_verdict(document)
    assert [document["code"] for document in found] == [
        "signature-key-mismatch",
        "annotation-mismatch",
        "signature-subject-mismatch",
        "no-signature",
    ]
    for document in found:
        for report in document["signatures"]:
            for finding in report["findings"]:
                assert bool(finding["remedy"]) == (finding["outcome"] == "failed")


@pytest.mark.parametrize(
    "broken",
    [
        {"outcome": "maybe"},
        {"exitCode": "0"},
        {"digest": "latest"},
        {"schema": "sealgate.dev/verdict/v2"},
        {"signatures": [{}]},
        {"more": 1},
    ],
    ids=lambda broken: next(iter(broken)),
)
def test_the_schema_refuses_what_is_no_verdict(cli, image, key, sign, broken):
    sign(image, key)
    found = json.loads(cli("verify", "--key", key.public, "-o", "verdict", image.tagged).out)
    check_verdict(found)
    with pytest.raises(jsonschema.ValidationError):
        check_verdict(found | broken)


def test_every_code_is_in_the_table():
    from sealgate import errors
    from sealgate.verification.findings import CODES

    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    assert {"no-signature", "signature-key-mismatch"} <= CODES.keys()
    assert all(code == code.lower() and " " not in code for code in [*CODES, *(each.code for each in classes)])


# -- other programs


def test_sarif(cli, docker_registry, key, other, sign):
    good, bare, foreign = (push_image(docker_registry, f"output/sarif{number}") for number in range(3))
    sign(good, key)
    sign(foreign, other)
    said = cli("verify", "--key", key.public, "-o", "sarif", good.reference, bare.reference, foreign.reference)
    assert said.code == 10
    document = json.loads(said.out)
    assert (document["version"], document["$schema"].endswith("sarif-2.1.0.json")) == ("2.1.0", True)
    [run] = document["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert run["tool"]["driver"]["name"] == "sealgate"
    assert [rule["id"] for rule in rules] == ["no-signature", "signature-key-mismatch"]
    assert [result["ruleId"] for result in run["results"]] == ["no-signature", "signature-key-mismatch"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in {"error", "warning", "note", "none"}
        assert result["message"]["text"]
        assert result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"]
    said = cli("verify", "--key", key.public, "-o", "sarif", good.reference)
    assert (said.code, json.loads(said.out)["runs"][0]["results"]) == (0, [])


def test_junit(cli, docker_registry, key, sign):
    good, bare = (push_image(docker_registry, f"output/junit{number}") for number in range(2))
    sign(good, key)
    said = cli("verify", "--key", key.public, "-o", "junit", good.reference, bare.reference, "127.0.0.1:1/a/b:c")
    assert said.code == 10
    suite = ElementTree.fromstring(said.out)
    assert suite.tag == "testsuite"
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "1")
    assert [[child.tag for child in case] for case in suite] == [[], ["failure"], ["error"]]
    assert [child.get("type") for case in suite for child in case] == ["no-signature", "registry-unreachable"]
    assert [case.get("name") for case in suite][:2] == [good.reference, bare.reference]


def test_human(cli, image, key, sign):
    sign(image, key)
    said = cli("verify", "--key", key.public, "-o", "human", image.tagged)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"✓ {image.tagged}@{image.digest}  accepted: signed by")


def test_quiet_and_verbose(cli, image, key, other, sign):
    sign(image, key, other)
    asked = ("verify", "--key", key.public, image.reference)
    quiet = cli(*asked, "--quiet")
    assert (quiet.code, quiet.err) == (0, "")
    assert quiet.out == cli(*asked).out
    verbose = cli(*asked, "--verbose")
    assert verbose.err.count("✓") > cli(*asked).err.count("✓")
    assert "says that it is the signature of an image" in verbose.err


def test_output_file(cli, image, key, sign, tmp_path):
    sign(image, key)
    plain = cli("verify", "--key", key.public, image.reference)
    said = cli("verify", "--key", key.public, "--output-file", tmp_path / "out", image.reference)
    assert (said.code, said.out) == (0, "")
    assert (tmp_path / "out").read_text(encoding="utf-8") == plain.out
    before = cli("--output-file", tmp_path / "before", "verify", "--key", key.public, image.reference)
    assert before.code == 0
    assert (tmp_path / "before").read_text(encoding="utf-8") == plain.out
    unwritable = cli("verify", "--key", key.public, "--output-file", tmp_path / "no" / "out", image.reference)
    assert unwritable.code != 0
    assert "[internal-error]" not in unwritable.err


# -- hostile text


@pytest.mark.parametrize("formats", [["bundle"], ["legacy"]], ids="+".join)
@pytest.mark.parametrize("output", ["json", "text", "verdict", "human", "sarif", "junit"])
def test_X10_hostile_text_is_escaped(cli, image, key, sign, formats, output):
    sign(image, key, formats=formats, annotations={"env": HOSTILE, HOSTILE: "x"})
    for asked in (["-a", "env=prod"], ["-a", "other=1"], []):
        said = cli("verify", "--key", key.public, *asked, "-o", output, "--verbose", image.tagged)
        assert said.code == (12 if asked else 0)
        for text in (said.out, said.err):
            assert not set("\x1b\r\u202e\x07") & set(text) or output in {"verdict", "json", "text"}
            assert "\x1b" not in text
            assert "\nError: all is well" not in text
    if output == "junit":
        ElementTree.fromstring(said.out)


@pytest.mark.parametrize("output", ["json", "verdict", "human", "sarif", "junit"])
def test_X10_hostile_words_of_a_registry_are_escaped(cli, start_lying_registry, key, output):
    body = json.dumps({"errors": [{"code": "DENIED", "message": HOSTILE}]}).encode()
    host = start_lying_registry(403, body)
    said = cli("verify", "--key", key.public, "-o", output, f"{host}/a/b:c")
    assert said.code == 14
    assert "all is well" in said.err + said.out
    for text in (said.out, said.err):
        assert "\x1b" not in text
        assert "\nError: all is well" not in text


@pytest.fixture
def start_lying_registry():
    """`start(status, body)`: a server that answers everything so."""
    import http.server
    import threading

    servers = []

    def start(status, body):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return f"127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_colour_on_a_terminal_only(cli, image, key):
    said = cli("verify", "--key", key.public, image.reference)
    assert "\x1b" not in said.err


def test_schema_names_every_field_of_a_verdict():
    from sealgate.verification.checks import SignatureReport
    from sealgate.verification.verdict import Verdict

    described = schema()
    assert len(described["properties"]) == len(Verdict._fields) + 1  # schema
    assert set(described["required"]) == set(described["properties"])
    report = described["$defs"]["signature"]
    assert set(report["required"]) == set(report["properties"])
    assert len(SignatureReport._fields) >= len(report["properties"]) - 1


def test_the_schema_is_in_the_package():
    import sealgate.verification

    assert (Path(sealgate.verification.__file__).parent / "verdict.schema.json").is_file()
