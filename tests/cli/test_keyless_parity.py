"""The keyless options side by side with stock cosign 3.1.1: both accept, both refuse, or it is declared here why not.

Each case is one command line, the same for both. `{name}` in it is a file or an image of the scene.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from peers.images import push_image
from trust_service import authority
from trust_service.identities import WORKFLOW, github

FILE = b"an artifact of the tests\n"
PREDICATE = "https://example.test/predicate/v1"
WORKFLOW_OPTIONS = {
    "trigger": "push",
    "sha": "1" * 40,
    "name": "release",
    "repository": "acme/app",
    "ref": "refs/heads/main",
}
WHO = f"--certificate-identity {WORKFLOW} --certificate-oidc-issuer {{issuer}}"
ROOT = "--trusted-root {root}"
BUNDLE = "--bundle {file-v1} {file}"


class Case(NamedTuple):
    """A command line, and who accepts."""

    words: str
    cosign: bool
    code: str | None
    """What Sealgate refuses with; None: it accepts."""
    why: str = ""
    """Why the two differ."""


def both(words: str) -> Case:
    return Case(words, cosign=True, code=None)


def neither(words: str, code: str) -> Case:
    return Case(words, cosign=False, code=code)


def only_cosign(words: str, code: str, why: str) -> Case:
    return Case(words, cosign=True, code=code, why=why)


def only_sealgate(words: str, why: str) -> Case:
    return Case(words, cosign=False, code=None, why=why)


def _commands() -> dict[str, Case]:
    """The same options of every command."""
    found: dict[str, Case] = {}
    commands = {
        "verify-blob": ("verify-blob", "--bundle {file-%s} {file}", ("v1", "v2")),
        "verify-blob-attestation": (
            f"verify-blob-attestation --type {PREDICATE}", "--bundle {statement-%s} {file}", ("v1", "v2")
        ),
        "verify": ("verify", "{image-%s}", ("v1", "v2", "legacy")),
        "verify-attestation": (f"verify-attestation --type {PREDICATE}", "{image-%s}", ("v1", "v2", "legacy")),
    }  # fmt: skip
    for name, (command, what, forms) in commands.items():
        for form in forms:
            asked = what % form
            if form == "legacy":
                asked = f"--new-bundle-format=false {asked}"
            whole = f"{command} {WHO} {ROOT}"
            unnamed = f"{command} {ROOT} --certificate-oidc-issuer {{issuer}}"
            cases = {
                "good": both(f"{whole} {asked}"),
                "another trusted root": neither(
                    f"{command} {WHO} --trusted-root {{stranger}} {asked}", "certificate-untrusted"
                ),
                "another identity": neither(
                    f"{unnamed} --certificate-identity x@example.test {asked}", "identity-mismatch"
                ),
                "another issuer": neither(
                    f"{command} {ROOT} --certificate-identity {WORKFLOW} "
                    f"--certificate-oidc-issuer https://issuer.test {asked}", "issuer-mismatch"
                ),
                "offline": both(f"{whole} --offline {asked}"),
                "no log asked for": both(f"{whole} --insecure-ignore-tlog {asked}"),
                "private infrastructure": both(f"{whole} --private-infrastructure {asked}"),
                "no SCT asked for": both(f"{whole} --insecure-ignore-sct {asked}"),
                "signed timestamps": _stamped(form, f"{whole} --use-signed-timestamps {asked}"),
                "workflow": both(f"{whole} --certificate-github-workflow-ref refs/heads/main {asked}"),
                "another workflow": neither(
                    f"{whole} --certificate-github-workflow-ref refs/heads/mai {asked}", "extension-mismatch"
                ),
                "regexp": both(f"{unnamed} --certificate-identity-regexp ^https://github.test/acme/ {asked}"),
                "another regexp": neither(
                    f"{unnamed} --certificate-identity-regexp ^acme/app {asked}", "identity-mismatch"
                ),
            }  # fmt: skip
            found |= {f"{name}, {form}, {each}": case for each, case in cases.items()}
    return found


def _stamped(form: str, words: str) -> Case:
    if form == "legacy":
        return only_cosign(
            words, "timestamp-missing", "cosign 3.1.1 asks its older format for none, whatever it is told"
        )
    return both(words) if form == "v2" else neither(words, "timestamp-missing")


def _files() -> dict[str, Case]:
    """What is not there, and every regular expression and workflow option, on files."""
    found: dict[str, Case] = {}
    for name, command in (
        ("file", "verify-blob"), ("statement", f"verify-blob-attestation --type {PREDICATE}"),
    ):  # fmt: skip
        whole = f"{command} {WHO} {ROOT}"
        stamped, nosct = f"--bundle {{{name}-stamped}} {{file}}", f"--bundle {{{name}-nosct}} {{file}}"
        other = "blob-digest-mismatch" if name == "file" else "signature-subject-mismatch"
        cases = {
            "no log entry": neither(f"{whole} {stamped}", "log-entry-missing"),
            "no log entry, ignored": both(f"{whole} --insecure-ignore-tlog --use-signed-timestamps {stamped}"),
            "no log entry, private": both(f"{whole} --private-infrastructure --use-signed-timestamps {stamped}"),
            "no SCT": neither(f"{whole} {nosct}", "sct-missing"),
            "no SCT, ignored": both(f"{whole} --insecure-ignore-sct {nosct}"),
            "another file": neither(f"{whole} --bundle {{{name}-v1}} {{other}}", other),
        }
        found |= {f"{name}, {each}": case for each, case in cases.items()}
    for name, value in WORKFLOW_OPTIONS.items():
        option = f"verify-blob {WHO} {ROOT} --certificate-github-workflow-{name}"
        found[f"workflow {name}"] = both(f"{option} {value} {BUNDLE}")
        found[f"workflow {name} in part"] = neither(f"{option} {value[:-1]} {BUNDLE}", "extension-mismatch")
    name = f"--certificate-identity {WORKFLOW}"
    issuer = "--certificate-oidc-issuer {issuer}"
    regexp, issuer_regexp = "--certificate-identity-regexp", "--certificate-oidc-issuer-regexp"
    questions = {
        "regexp anywhere": (f"{regexp} acme/app {issuer}", None),
        "regexp anchored": (f"{regexp} ^https://github.test/acme/app/.*@refs/heads/main$ {issuer}", None),
        "regexp of a class": (f"{regexp} [a-z]+.yml@ {issuer}", None),
        "regexp in other case": (f"{regexp} ACME/app {issuer}", "identity-mismatch"),
        "regexp that ignores case": (f"{regexp} (?i)ACME/app {issuer}", None),
        "regexp that is none": (f"{regexp} ( {issuer}", "[usage]"),
        "identity in part": (f"--certificate-identity acme/app {issuer}", "identity-mismatch"),
        "issuer regexp": (f"{name} {issuer_regexp} oidc$", None),
        "another issuer regexp": (f"{name} {issuer_regexp} ^oidc", "issuer-mismatch"),
        "no issuer": (name, "[usage]"),
        "no identity": (issuer, "[usage]"),
    }
    for each, (question, code) in questions.items():
        words = f"verify-blob {question} {ROOT} {BUNDLE}"
        found[each] = both(words) if code is None else neither(words, code)
    return found


def _own_authorities() -> dict[str, Case]:
    """Signature, certificate and timestamp in files of their own, under authorities in PEM files; keys of logs in the environment."""
    whole = f"verify-blob {WHO}"
    loose = "--signature {signature} --certificate {certificate} {file}"
    chain, unlogged = "--certificate-chain {ca}", f"--insecure-ignore-tlog {loose}"
    tsa = "--timestamp-certificate-chain {tsa}"
    stamp = f"--rfc3161-timestamp {{stamp}} {tsa}"
    nosct = f"{whole} {chain} --rfc3161-timestamp {{stamp-nosct}} {tsa} --insecure-ignore-tlog"
    nosct_loose = "--signature {signature-nosct} --certificate {certificate-nosct} {file}"
    wrong = "--signature {signature} --certificate {certificate-other} {file}"
    return {
        "chain": both(f"{whole} {chain} {stamp} {unlogged}"),
        "chain, valid now": both(f"{whole} {chain} {unlogged}"),
        "another chain": neither(f"{whole} --certificate-chain {{ca-other}} {stamp} {unlogged}", "certificate-untrusted"),
        "roots and intermediates": both(
            f"{whole} --ca-roots {{ca-root}} --ca-intermediates {{ca-below}} {stamp} {unlogged}"
        ),
        "roots alone": neither(f"{whole} --ca-roots {{ca-root}} {stamp} {unlogged}", "certificate-untrusted"),
        "chain and roots": neither(f"{whole} {chain} --ca-roots {{ca-root}} {stamp} {unlogged}", "[usage]"),
        "another timestamp authority": neither(
            f"{whole} {chain} --rfc3161-timestamp {{stamp}} --timestamp-certificate-chain {{tsa-other}} {unlogged}",
            "timestamp-untrusted",
        ),
        "timestamp of another signature": neither(
            f"{whole} {chain} --rfc3161-timestamp {{stamp-other}} {tsa} {unlogged}", "timestamp-not-bound"
        ),
        "no log entry beside it": neither(f"{whole} {chain} {stamp} {loose}", "log-entry-missing"),
        "another certificate": neither(
            f"{whole} {chain} {stamp} --insecure-ignore-tlog {wrong}", "signature-invalid"
        ),
        "SCT beside it": both(f"{nosct} --sct {{sct-nosct}} {nosct_loose}"),
        "SCT of another certificate": neither(f"{nosct} --sct {{sct-other}} {nosct_loose}", "sct-invalid"),
        "no SCT beside it": neither(f"{nosct} {nosct_loose}", "sct-missing"),
        "no SCT beside it, ignored": both(f"{nosct} --insecure-ignore-sct {nosct_loose}"),
        "chain beside a bundle": only_sealgate(
            f"{whole} {chain} {BUNDLE}", "cosign reads a chain beside bundles of its older format only"
        ),
        "image, chain": both(f"verify --new-bundle-format=false {WHO} {chain} {{image-legacy}}"),
        "image, another chain": neither(
            f"verify --new-bundle-format=false {WHO} --certificate-chain {{ca-other}} {{image-legacy}}",
            "certificate-untrusted",
        ),
        "image, roots": both(
            f"verify --new-bundle-format=false {WHO} --ca-roots {{ca-root}} --ca-intermediates {{ca-below}} {{image-legacy}}"
        ),
        "attestation, chain": both(
            f"verify-attestation --new-bundle-format=false --type {PREDICATE} {WHO} {chain} {{image-legacy}}"
        ),
        "attestation, another chain": neither(
            f"verify-attestation --new-bundle-format=false --type {PREDICATE} {WHO} --certificate-chain {{ca-other}} {{image-legacy}}",
            "certificate-untrusted",
        ),
    }  # fmt: skip


def _many() -> dict[str, Case]:
    """Files that name images."""
    found: dict[str, Case] = {}
    for command, name in (("manifest verify", "manifest"), ("dockerfile verify", "dockerfile")):
        for form in ("v2", "legacy"):
            more = " --new-bundle-format=false" if form == "legacy" else ""
            whole = f"{command}{more} {ROOT}"
            good = f"{whole} {WHO} {{{name}-{form}}}"
            found[f"{command}, {form}"] = both(good) if form == "legacy" else only_sealgate(good, BUNDLES)
            found[f"{command}, {form}, another identity"] = neither(
                f"{whole} --certificate-identity x@example.test --certificate-oidc-issuer {{issuer}} {{{name}-{form}}}",
                "identity-mismatch",
            )
        unsigned = f"{command} --new-bundle-format=false {ROOT} {WHO} {{{name}-unsigned}}"
        found[f"{command}, one is unsigned"] = neither(unsigned, "no-signature")
    return found


BUNDLES = "of images in files, cosign 3.1.1 reads signatures in its older format only"


CASES = _commands() | _files() | _own_authorities() | _many()


@pytest.fixture(scope="module")
def scene(running_trust_service, docker_registry, cosign3, cosign2, tmp_path_factory):
    """Every file and image of the cases, by its name; made by a service that nobody alters."""
    service, folder = running_trust_service, tmp_path_factory.mktemp("parity")
    service.reset()
    found = {"issuer": service.issuer.url}

    def write(name, data):
        path = folder / (f"{name}.yaml" if name.startswith("manifest") else name)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        found[name] = str(path)

    _trust(service, write)
    _made(service, write)
    (folder / "token").write_text(service.token(github()))
    (folder / "predicate").write_text('{"made": "by a test"}')
    images = {form: push_image(docker_registry, f"parity/{form}") for form in ("v1", "v2", "legacy", "unsigned")}
    attest = ("attest", "--predicate", folder / "predicate", "--type", PREDICATE)
    token = ("--yes", "--identity-token", folder / "token")
    for form, rekor in (("v1", 1), ("v2", 2)):
        files = service.files(folder / f"services-{form}", rekor=rekor, tsa=None if rekor == 1 else "current")
        services = ("--signing-config", files.signing_config, "--trusted-root", files.trusted_root)
        for words in (("sign",), attest):
            cosign3(*words, *token, *services, images[form].reference, check=True)
    places = ("--fulcio-url", service.url, "--rekor-url", service.url)
    for words in (("sign",), attest):
        cosign2(*words, *token, *places, images["legacy"].reference, env=_environment(found), check=True)
    for form, image in images.items():
        found[f"image-{form}"] = image.reference
        named = [images["legacy" if form == "unsigned" else form], image]
        write(f"dockerfile-{form}", "".join(f"FROM {each.reference}\n" for each in named))
        containers = [{"name": f"c{at}", "image": each.reference} for at, each in enumerate(named)]
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": {"containers": containers}}
        write(f"manifest-{form}", json.dumps(pod))
    return found


def _trust(service, write):
    pems, chain = service.pems(), service.authority().chain
    write("root", json.dumps(service.trusted_root()))
    write("stranger", json.dumps(service.trusted_root(authorities=["second"])))
    write("ca", pems["fulcio_v1.crt.pem"])
    write("ca-root", authority.pem(chain[-1:]))
    write("ca-below", authority.pem(chain[:-1]))
    write("ca-other", authority.pem(service.authority("second").chain))
    write("tsa", pems["tsa.certchain.pem"])
    write("tsa-other", authority.pem(service.tsa("second").chain))
    write("rekor", pems["rekor.pub"])
    write("ct", pems["ctfe.pub"])


def _made(service, write):
    """Bundles of a file and of a statement about it; and what is in one, in files of its own."""
    write("file", FILE)
    write("other", b"another artifact\n")
    subject = {"name": "file", "digest": {"sha256": hashlib.sha256(FILE).hexdigest()}}
    statement = {
        "_type": "https://in-toto.io/Statement/v1", "subject": [subject], "predicateType": PREDICATE, "predicate": {},
    }  # fmt: skip
    forms = {"v1": {"rekor": 1}, "v2": {"rekor": 2}, "stamped": {"rekor": None}, "nosct": {"rekor": 1, "ct": ()}}
    for form, options in forms.items():
        given = {"identity": github(), "artifact": FILE, **options}
        write(f"file-{form}", service.make_bundle(**given).json)
        write(f"statement-{form}", service.make_bundle(kind="dsse", statement=statement, **given).json)
    for suffix, ct in (("", "current"), ("-nosct", ()), ("-other", "current")):
        made = service.make_bundle(identity=github(), artifact=FILE, rekor=None, ct=ct)
        write(f"signature{suffix}", base64.b64encode(made.signature))
        write(f"certificate{suffix}", authority.pem(made.certificates[:1]))
        write(f"stamp{suffix}", json.dumps({"SignedRFC3161Timestamp": base64.b64encode(made.timestamps[0]).decode()}))
        write(f"sct{suffix}", _sct(service, made.certificate))


def _sct(service, der):
    """A log's answer to `add-chain` (RFC 6962, section 4.1)."""
    log, at = service.ct_log(), int(service.now() * 1000)
    covered = b"\0\0" + at.to_bytes(8, "big") + b"\0\0" + len(der).to_bytes(3, "big") + der + b"\0\0"
    signature = log.key.sign(covered, ec.ECDSA(hashes.SHA256()))
    octets = {
        "id": log.log_id,
        "extensions": b"",
        "signature": b"\x04\x03" + len(signature).to_bytes(2, "big") + signature,
    }
    texts = {name: base64.b64encode(value).decode() for name, value in octets.items()}
    return json.dumps({"sct_version": 0, "timestamp": at, **texts})


def _environment(scene):
    """Keys of logs and certificates of authorities, as cosign takes them."""
    return {
        "SIGSTORE_REKOR_PUBLIC_KEY": scene["rekor"],
        "SIGSTORE_CT_LOG_PUBLIC_KEY_FILE": scene["ct"],
        "SIGSTORE_ROOT_FILE": scene["ca"],
    }


@pytest.mark.parametrize("name", CASES)
def test_both_say_the_same(cli, cosign3, scene, name):
    case = CASES[name]
    words = [word.format_map(scene) if word.startswith("{") else word for word in case.words.split()]
    ours = cli(*words, env=_environment(scene))
    theirs = cosign3(*words, env=_environment(scene))
    assert (theirs.returncode == 0) == case.cosign, theirs.stderr
    if case.code is None:
        assert ours.code == 0, ours.err
    else:
        assert ours.code != 0
        assert case.code in ours.err
    assert bool(case.why) == (case.cosign != (case.code is None))


def test_every_extension_of_fulcio_is_in_the_verdict(cli, scene):
    words = f"verify-blob -o verdict {WHO} {ROOT} {BUNDLE}".format_map(scene)
    found = json.loads(cli(*words.split()).out)["signatures"][0]["identity"]["extensions"]
    assert {name: found[name] for name in EXTENSIONS} == EXTENSIONS


EXTENSIONS = {
    "buildSignerURI": WORKFLOW,  # .9, and so on to .24
    "buildSignerDigest": "2" * 40,
    "runnerEnvironment": "github-hosted",
    "sourceRepositoryURI": "https://github.test/acme/app",
    "sourceRepositoryDigest": "1" * 40,
    "sourceRepositoryRef": "refs/heads/main",
    "sourceRepositoryIdentifier": "1001",
    "sourceRepositoryOwnerURI": "https://github.test/acme",
    "sourceRepositoryOwnerIdentifier": "2002",
    "buildConfigURI": WORKFLOW,
    "buildConfigDigest": "2" * 40,
    "buildTrigger": "push",
    "runInvocationURI": "https://github.test/acme/app/actions/runs/3003/attempts/1",
    "sourceRepositoryVisibilityAtSigning": "public",
    "deploymentEnvironment": "production",
    "tokenSubject": "repo:acme/app:ref:refs/heads/main",
}
