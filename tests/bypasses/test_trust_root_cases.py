"""Trust roots that are altered, in each way of supplying them (U01 to U14): a bad one is an error of its own, never an empty one."""

import base64
import copy
import json
import threading
import time

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

import sealgate
from bypasses import scene
from bypasses.keyless_forms import FORMS, b64
from bypasses.keyless_ways import WAYS, Asker, Roots, can
from sealgate import blocking
from sealgate.errors import TrustRootInvalidError
from trust_service.period import DAY
from trust_service.repository import Repository

NAMES = ("bundle-rekor1", "bundle-rekor2", "attestation-rekor1", "image", "legacy-image", "legacy-file")
FILES = (
    "SIGSTORE_ROOT_FILE",
    "SIGSTORE_REKOR_PUBLIC_KEY",
    "SIGSTORE_CT_LOG_PUBLIC_KEY_FILE",
    "SIGSTORE_TSA_CERTIFICATE_FILE",
)


@pytest.fixture
def asker(trust_service, tmp_path):
    return Asker(trust_service, tmp_path)


def within(*path, to):
    """The document with another value in one place; None: without it."""

    def alter(document):
        at = document
        for name in path[:-1]:
            at = at[name]
        if to is None:
            at.pop(path[-1])
        else:
            at[path[-1]] = to(at[path[-1]]) if callable(to) else to

    return alter


def doubled(kind):
    return within(kind, to=lambda found: [*found, copy.deepcopy(found[0])])


def two_ids(document):
    """The key of a log once more, under another id (U01)."""
    more = copy.deepcopy(document["tlogs"][0])
    more["logId"]["keyId"] = b64(b"\x07" * 32)
    document["tlogs"].append(more)


LOG = ("tlogs", 0)
DOCUMENTS = {
    "U01 a log twice": doubled("tlogs"),
    "U01 a CT log twice": doubled("ctlogs"),
    "U01 the key of a log under two ids": two_ids,
    "U08 no media type": within("mediaType", to=None),
    "U08 another media type": within("mediaType", to="application/json"),
    "U08 a member that nobody knows": lambda document: document.update(unheardOf=[]),
    "U08 logs that are no list": within("tlogs", to={}),
    "U08 a log that is no object": within("tlogs", to=[7]),
    "U08 a log without its key": within(*LOG, "publicKey", to=None),
    "U08 a key that is none": within(*LOG, "publicKey", "rawBytes", to=b64(b"x" * 91)),
    "U08 a key of another kind than it says": within(*LOG, "publicKey", "keyDetails", to="PKIX_ED25519"),
    "U08 an id that is not the key's": within(*LOG, "logId", "keyId", to=b64(b"x" * 32)),
    "U08 another hash": within(*LOG, "hashAlgorithm", to="SHA2_512"),
    "U08 a period that ends before it begins": within(
        *LOG, "publicKey", "validFor", to={"start": "2026-01-01T00:00:00Z", "end": "2025-01-01T00:00:00Z"}
    ),
    "U08 a period that is no time": within(*LOG, "publicKey", "validFor", to={"start": "yesterday"}),
    "U08 an authority without certificates": within("certificateAuthorities", 0, "certChain", "certificates", to=[]),
    "U08 a certificate that is none": within(
        "certificateAuthorities", 0, "certChain", "certificates", 0, "rawBytes", to=b64(b"0" * 90)
    ),
    "U08 a certificate of a timestamp authority that is none": within(
        "timestampAuthorities", 0, "certChain", "certificates", 0, "rawBytes", to=b64(b"0" * 90)
    ),
}
TEXTS = {
    "U08 nothing": lambda text: "",
    "U08 no JSON": lambda text: text[:-1],
    "U08 a list": lambda text: "[]",
    "U08 a key twice": lambda text: text.replace('{"mediaType"', '{"mediaType": "x", "mediaType"', 1),
    "U08 D02 nested deeply": lambda text: text.replace('"tlogs": ', '"tlogs": ' + "[" * 5000 + "]" * 5000 + ', "x": ', 1),
    "U09 D01 larger than any": lambda text: text[:-1] + " " * (6 * 1024 * 1024) + "}",
}  # fmt: skip


def altered(service, name):
    """A good trust root, and the same with one thing changed: two texts."""
    document = service.trusted_root(authorities=["current"], ct=["current"], logs=["current"], tsa=["current"])
    text = json.dumps(document)
    if name in TEXTS:
        return text, TEXTS[name](text)
    changed = copy.deepcopy(document)
    DOCUMENTS[name](changed)
    return text, json.dumps(changed)


def command_of(evidence, folder):
    command, *rest = evidence.form.arguments(evidence, folder)
    who = ["--certificate-identity", evidence.made.subject, "--certificate-oidc-issuer", evidence.made.issuer]
    return [command, "-o", "verdict", *who], rest


@pytest.mark.parametrize("name", [*DOCUMENTS, *TEXTS])
def test_U01_U08_U09_a_bad_document_is_an_error_in_every_way(trust_service, tmp_path, name):
    good, bad = altered(trust_service, name)
    for form in (FORMS[each] for each in NAMES):
        evidence = form.make(trust_service)
        words, rest = command_of(evidence, tmp_path / form.name)
        for text, code in ((good, 0), (bad, 15)):
            (tmp_path / "root.json").write_text(text)
            said = scene.run(
                [*words, "--trusted-root", str(tmp_path / "root.json"), *rest], environ={"HOME": str(tmp_path)}
            )
            assert said.exit_code == code, (form.name, said)
            assert code == 0 or not said.stdout
    assert sealgate.parse_trust_root(good.encode())
    with pytest.raises(TrustRootInvalidError):
        sealgate.parse_trust_root(bad.encode())
    with pytest.raises((TrustRootInvalidError, sealgate.KeyMaterialError)):  # the latter where the file is too large
        blocking.load_trust_root(tmp_path / "root.json")


@pytest.mark.parametrize("name", [*DOCUMENTS, *(name for name in TEXTS if "larger" not in name)])  # which is never kept
def test_U12_U13_a_bad_document_in_a_repository_is_an_error_and_not_passed_over(trust_service, tmp_path, name):
    good, bad = altered(trust_service, name)
    repository = Repository()
    repository.publish({"trusted_root.json": good.encode()}, trust_service.now())
    trust_service._repository = repository
    (tmp_path / "tuf-root.json").write_bytes(repository.root)
    environ = {"HOME": str(tmp_path / "home")}
    begin = ["initialize", "--mirror", trust_service.tuf_url, "--root", str(tmp_path / "tuf-root.json")]
    assert scene.run(begin, environ=environ).exit_code == 0
    evidence = FORMS["bundle-rekor1"].make(trust_service)
    words, rest = command_of(evidence, tmp_path / "evidence")
    scene.run([*words, *rest], environ=environ).is_accepted()
    # The next version has the bad one. The repository no longer vouches for what was there before, so nobody is believed in.
    repository.publish({"trusted_root.json": bad.encode()}, trust_service.now())
    said = scene.run(["initialize"], environ=environ)
    assert said.exit_code == 15, said
    said = scene.run([*words, *rest], environ=environ)
    assert (said.exit_code, said.stdout) == (15, "")
    # Somebody who begins with it believes in nobody.
    fresh = {"HOME": str(tmp_path / "fresh")}
    assert scene.run(begin, environ=fresh).exit_code == 15
    chosen = {"TUF_MIRROR": trust_service.tuf_url, "TUF_ROOT_JSON": str(tmp_path / "tuf-root.json")}
    said = scene.run([*words, *rest], environ=fresh | chosen)
    assert (said.exit_code, said.stdout) == (15, "")
    # And when it is mended, it counts again.
    repository.publish({"trusted_root.json": good.encode()}, trust_service.now())
    assert scene.run(["initialize"], environ=environ).exit_code == 0
    scene.run([*words, *rest], environ=environ).is_accepted()


PEMS = {
    "nothing": lambda pem: "",
    "no PEM": lambda pem: "not a PEM file\n",
    "cut off": lambda pem: pem[: len(pem) // 2],
    "a private key": lambda pem: ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode(),
    "bytes that are no key": lambda pem: "\n".join(
        [pem.splitlines()[0], base64.b64encode(b"x" * 91).decode(), pem.splitlines()[-1]]
    ) + "\n",
}  # fmt: skip


@pytest.mark.parametrize("variable", FILES)
@pytest.mark.parametrize("name", PEMS)
def test_U13_a_bad_file_of_the_environment_is_an_error(trust_service, asker, tmp_path, variable, name):
    evidence = FORMS["bundle-rekor1"].make(trust_service)
    words, rest = command_of(evidence, tmp_path / "evidence")
    (tmp_path / "pems").mkdir()
    _, environ = asker._environment(tmp_path / "pems", Roots())
    environ["HOME"] = str(tmp_path)
    scene.run([*words, *rest], environ=environ).is_accepted()
    path = tmp_path / "pems" / variable
    path.write_text(PEMS[name](path.read_text()))
    said = scene.run([*words, *rest], environ=environ)
    assert (said.exit_code, said.stdout) == (15, "")
    path.unlink()
    said = scene.run([*words, *rest], environ=environ)
    assert (said.exit_code, said.stdout) == (15, "")


@pytest.mark.parametrize("option", ["--certificate-chain", "--ca-roots", "--timestamp-certificate-chain"])
@pytest.mark.parametrize("name", PEMS)
def test_U13_a_bad_file_of_an_option_is_an_error(trust_service, asker, tmp_path, option, name):
    evidence = FORMS["bundle-rekor2"].make(trust_service)
    words, rest = command_of(evidence, tmp_path / "evidence")
    (tmp_path / "pems").mkdir()
    given, _ = asker._file(tmp_path / "pems", Roots())
    pems = trust_service.pems()
    text = pems["tsa.certchain.pem" if option.startswith("--timestamp") else "fulcio_v1.crt.pem"]
    found = {}
    for kind, content in (("good", text), ("bad", PEMS[name](text))):
        (tmp_path / kind).write_text(content)
        line = [*words, *map(str, given), option, str(tmp_path / kind), *rest]
        found[kind] = scene.run(line, environ={"HOME": str(tmp_path)})
    found["good"].is_accepted()
    assert (found["bad"].exit_code, found["bad"].stdout) == (15, "")


# -- who is believed in


STRANGERS = {
    "certificate-untrusted": Roots(authorities=("stranger",)),
    "sct-untrusted": Roots(ct=("stranger",)),
    "log-entry-untrusted": Roots(logs=("stranger",)),
}


@pytest.mark.parametrize("code", STRANGERS)
@pytest.mark.parametrize("way", WAYS)
def test_U11_each_part_is_believed_as_it_was_given_and_no_other(trust_service, asker, way, code):
    for form in (FORMS[name] for name in NAMES):
        if not can(way, form):
            continue
        evidence = form.make(trust_service)
        for roots, accepted in ((Roots(), True), (STRANGERS[code], False), (Roots(), True)):
            answer = asker.ask(evidence, way, roots)
            assert answer.accepted is accepted, (form.name, answer)
            assert accepted or code in answer.codes, (form.name, answer)


@pytest.mark.parametrize("way", [way for way in WAYS if can(way, FORMS["bundle-rekor2"])])
def test_U11_the_timestamp_authority_too(trust_service, asker, way):
    for name in ("bundle-rekor2", "attestation-rekor2", "image"):
        evidence = FORMS[name].make(trust_service)
        for roots, accepted in ((Roots(), True), (Roots(tsa=("stranger",)), False)):
            answer = asker.ask(evidence, way, roots)
            assert answer.accepted is accepted
            assert accepted or "timestamp-untrusted" in answer.codes


def test_U11_two_roots_at_once_are_two_roots(trust_service):
    """A hundred verifications in parallel, half of them with the root of a stranger."""
    evidence = FORMS["bundle-rekor1"].make(trust_service)
    roots = [
        sealgate.parse_trust_root(json.dumps(trust_service.trusted_root(authorities=[name])).encode())
        for name in ("current", "stranger")
    ]
    who = [sealgate.identity(evidence.made.subject, issuer=evidence.made.issuer)]
    found: list[tuple[int, bool]] = []

    def verify(number):
        verdict = blocking.verify_blob(
            evidence.content, bundles=[evidence.raw], identities=who, trust_root=roots[number % 2], require="any"
        )
        found.append((number % 2, verdict.accepted))

    threads = [threading.Thread(target=verify, args=(number,)) for number in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(set(found)) == [(0, True), (1, False)]
    assert len(found) == 100


def test_U14_what_is_given_is_not_replaced_by_the_environment(trust_service, asker, tmp_path, monkeypatch):
    """A trusted-root file is not touched by variables; the library reads none at all."""
    evidence = FORMS["bundle-rekor1"].make(trust_service)
    words, rest = command_of(evidence, tmp_path / "evidence")
    stranger = Roots(("stranger",), ("stranger",), ("stranger",), ("stranger",))
    (tmp_path / "pems").mkdir()
    given, _ = asker._file(tmp_path / "pems", Roots())
    _, environ = asker._environment(tmp_path / "pems", stranger)
    environ["HOME"] = str(tmp_path)
    assert scene.run([*words, *rest], environ=environ).exit_code == 12
    scene.run([*words, *map(str, given), *rest], environ=environ).is_accepted()
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    answer = asker.ask(evidence, "library")
    assert answer.accepted


@pytest.mark.parametrize("way", ["--certificate-chain", "--ca-roots"])
def test_U14_L17_own_authorities_do_not_hide_what_is_said_of_logs(trust_service, asker, tmp_path, way):
    """As in cosign: they replace the certificate authorities, and nothing else."""
    evidence = FORMS["bundle-rekor1"].make(trust_service)
    unlogged = evidence.without_entries()
    (tmp_path / "pems").mkdir()
    pems = trust_service.pems()
    chain = pems["fulcio_v1.crt.pem"]
    (tmp_path / "own.pem").write_text(chain)
    own = [way, str(tmp_path / "own.pem")]
    logs = asker._logs(Roots(tsa=()))
    for name, text in logs.items():
        (tmp_path / name).write_text(text)
    environ = {name: str(tmp_path / name) for name in logs} | {"HOME": str(tmp_path)}
    words, rest = command_of(evidence, tmp_path / "evidence")
    bare, without = command_of(unlogged, tmp_path / "unlogged")
    scene.run([*words, *own, *rest], environ=environ).is_accepted()
    refused = scene.run([*bare, *own, *without], environ=environ)
    assert [code for found in refused.findings for code in found] == ["log-entry-missing"]
    scene.run([*bare, *own, "--insecure-ignore-tlog", *without], environ=environ).is_accepted()
    # Half of it is not taken for nothing.
    half = {name: path for name, path in environ.items() if "CT_LOG" not in name}
    said = scene.run([*words, *own, *rest], environ=half)
    assert (said.exit_code, said.stdout) == (15, "")
    scene.run([*words, *own, "--insecure-ignore-sct", *rest], environ=half).is_accepted()
    # What `initialize` left counts as well.
    repository = Repository()
    document = json.dumps(trust_service.trusted_root())
    repository.publish({"trusted_root.json": document.encode()}, trust_service.now())
    trust_service._repository = repository
    (tmp_path / "tuf-root.json").write_bytes(repository.root)
    begin = ["initialize", "--mirror", trust_service.tuf_url, "--root", str(tmp_path / "tuf-root.json")]
    home = {"HOME": str(tmp_path / "home")}
    assert scene.run(begin, environ=home).exit_code == 0
    scene.run([*words, *own, *rest], environ=home).is_accepted()
    assert scene.run([*bare, *own, *without], environ=home).exit_code == 12


@pytest.mark.parametrize("days", [-1, 1])
def test_U10_what_was_initialized_counts_until_it_expires(trust_service, tmp_path, days):
    repository = Repository()
    text = json.dumps(trust_service.trusted_root()).encode()
    repository.publish({"trusted_root.json": text}, trust_service.now(), timestamp_days=2)
    trust_service._repository = repository
    (tmp_path / "tuf-root.json").write_bytes(repository.root)
    environ = {"HOME": str(tmp_path / "home")}
    begin = ["initialize", "--mirror", trust_service.tuf_url, "--root", str(tmp_path / "tuf-root.json")]
    assert scene.run(begin, environ=environ).exit_code == 0
    evidence = FORMS["bundle-rekor1"].make(trust_service)
    words, rest = command_of(evidence, tmp_path / "evidence")
    scene.run([*words, *rest], environ=environ).is_accepted()
    trust_service.fail("tuf", status=503)
    with pytest.MonkeyPatch.context() as patch:
        now = time.time() + (2 + days) * DAY - DAY / 2
        patch.setattr(time, "time", lambda: now)
        said = scene.run([*words, *rest], environ=environ)
    assert said.exit_code == (0 if days < 0 else 14), said
