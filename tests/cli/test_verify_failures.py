"""Whatever breaks inside `sealgate verify`, it never ends in 0 (X01); and every check is one that something leans on."""

import importlib
import inspect
import json

import pytest

from peers import handmade
from peers.images import Client, push_image
from sealgate.transport.flow import Cancelled
from sealgate.verification.findings import CODES, Finding

STAGES = [
    "cli.verify.asked_of",
    "cli.verify.identities_of",
    "cli.verify.refuse_unsupported",
    "cli.verify.trust_of",
    "cli.verify.images",
    "cli.verify.wanted_of",
    "cli.verify.show",
    "cli.render.cosign",
    "cli.render.people",
    "keys.resolve.load_public_key",
    "keys.algorithms.parse_spki",
    "keys.algorithms.PublicKey.verify",
    "oci.images.Images.open",
    "oci.location.parse",
    "oci.registry.Session.repository",
    "oci.registry.RegistryStore.get_manifest",
    "oci.registry.RegistryStore.get_blob",
    "oci.registry.RegistryStore.list_referrers",
    "oci.host.Host.request",
    "oci.manifest.parse",
    "oci.manifest.layers",
    "oci.manifest.subject",
    "oci.attachments.find",
    "oci.attachments.list_referrers",
    "digest.Digest.check",
    "transport.http.HttpClient.send",
    "transport.driver.run",
    "evidence.bundle.parse",
    "evidence.legacy.parse_layer",
    "evidence.statement.parse",
    "evidence.statement.subjects_of",
    "evidence.simple.parse",
    "verification.evidence.read",
    "verification.checks.pae",
    "verification.checks._judge_bundle",
    "verification.checks._judge_legacy",
    "verification.checks.verify_signature",
    "verification.checks.annotations_finding",
    "verification.checks.made_by",
    "verification.checks.passed",
    "verification.checks.with_maker",
    "verification.signer.judge",
    "verification.signer.of_bundle",
    "verification.signer.of_legacy",
    "verification.deny.DenyList.digest",
    "verification.deny.DenyList.key",
    "verification.verify.judge",
    "verification.verify._verify_one",
    "verification.verify._resolve",
    "verification.verify.verify_all",
    "verification.requirement.is_met",
    "verification.requirement.fits",
    "verification.requirement.keys",
    "verification.verdict.decide",
]
RAISED = [
    RuntimeError("broken"),
    KeyboardInterrupt(),
    SystemExit(0),
    SystemExit(),
    RecursionError(),
    MemoryError(),
    StopIteration(0),
    GeneratorExit(),
    Cancelled(),
    BrokenPipeError(),
    OSError(0, "nothing is wrong"),
    AssertionError(),
]


@pytest.fixture
def both(docker_registry, key, sign):
    """An image with a good signature in each format."""
    image = push_image(docker_registry, "failures/both")
    sign(image, key, formats=["bundle", "legacy"], annotations={"env": "prod"})
    return image


@pytest.fixture
def bundle(docker_registry, key, sign):
    """An image with a good bundle."""
    image = push_image(docker_registry, "failures/bundle")
    sign(image, key, annotations={"env": "prod"})
    return image


def _find(stage):
    """The module or class that holds the stage, and its name there."""
    parts = ["sealgate", *stage.split(".")]
    for end in range(len(parts) - 1, 0, -1):
        try:
            holder = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:-1]:
            holder = getattr(holder, part)
        return holder, parts[-1]
    raise LookupError(stage)


def _like(stage, broken):
    """`broken`, as a coroutine function where the stage is one."""
    if not inspect.iscoroutinefunction(stage):
        return broken

    async def broken_flow(*args, **kwargs):
        broken(*args, **kwargs)

    return broken_flow


@pytest.mark.parametrize("stage", STAGES)
def test_X01_nothing_that_breaks_ends_in_0(cli, both, bundle, key, monkeypatch, stage):
    # Where a flow is given up, a good signature that was found elsewhere would still count, as after any error.
    image = bundle if stage.endswith(("list_referrers", "get_blob")) else both
    asked = ("verify", "--key", key.public, "-a", "env=prod", image.reference)
    assert cli(*asked).code == 0
    holder, name = _find(stage)
    for raised in RAISED:
        calls = []

        def broken(*_args, _raised=raised, _calls=calls, **_kwargs):
            _calls.append(1)
            raise _raised

        with monkeypatch.context() as patch:
            patch.setattr(holder, name, _like(getattr(holder, name), broken))
            said = cli(*asked)
        assert calls, f"{stage} is not on the path any more"
        assert said.code != 0, repr(raised)
        assert said.code not in {10, 12} or isinstance(raised, OSError), f"{raised!r} is not `not signed`"
        if stage not in {"cli.verify.show", "cli.render.people"}:
            assert said.out == "", repr(raised)
    assert cli(*asked).code == 0


def test_X01_errors_of_sealgate_keep_their_code(cli, both, key, monkeypatch):
    from sealgate import errors

    asked = ("verify", "--key", key.public, both.reference)
    holder, name = _find("oci.registry.RegistryStore.get_manifest")
    for kind in [value for value in vars(errors).values() if isinstance(value, type)]:

        async def broken(*_args, _kind=kind, **_kwargs):
            raise _kind("broken")

        with monkeypatch.context() as patch:
            patch.setattr(holder, name, broken)
            said = cli(*asked)
        assert said.code == kind.exit_code != 0
        assert said.out == ""


def test_X01_the_flag_for_tracebacks_changes_no_exit_code(sealgate, both, key, tmp_path):
    said = sealgate("verify", "--key", key.public, both.reference, env={"SEALGATE_TRACEBACK": "1"})
    assert said.returncode == 0
    said = sealgate("verify", "--key", tmp_path, both.reference, env={"SEALGATE_TRACEBACK": "1"})
    assert said.returncode == 15
    assert "Traceback" not in said.stderr


# -- the kill switch: with any check always agreeing, some refusal becomes an acceptance


class Cases:
    """Images that must be refused, each for one reason alone, and what is asked of them."""

    def __init__(self, host, key, other, sign, folder):
        self.key, self.other = key.public, other.public
        good = push_image(host, "killswitch/subject")
        sign(good, key, formats=["bundle", "legacy"])
        moved = {}
        for suffix in ("", ".sig"):  # each format in a repository of its own, so that nothing else refuses it
            copy = push_image(host, "killswitch/subject")
            client = Client(host)
            raw = client.get_manifest(copy.repository, good.digest.replace(":", "-") + suffix).body
            if not suffix:
                raw = _pointing_at(client, copy, raw)
            tag = copy.digest.replace(":", "-") + suffix
            client.put_manifest(copy.repository, tag, raw, json.loads(raw)["mediaType"])
            moved[suffix] = copy
        foreign = push_image(host, "killswitch/foreign")
        sign(foreign, other, formats=["bundle"])
        foreign_legacy = push_image(host, "killswitch/foreign")
        sign(foreign_legacy, other, formats=["legacy"])
        plain = push_image(host, "killswitch/plain")
        sign(plain, key, formats=["bundle"])
        plain_legacy = push_image(host, "killswitch/plain")
        sign(plain_legacy, key, formats=["legacy"])
        (folder / "digest").write_text(f"digest {plain.digest} recalled\n")
        (folder / "key").write_text(f"key {key.handle.public_key.fingerprint} leaked\n")
        wrong_type = push_image(host, "killswitch/type")
        _attach_legacy(wrong_type, key, kind="atomic container signature")
        attested = push_image(host, "killswitch/attested")
        _attach_bundle(attested, key, "https://cosign.sigstore.dev/attestation/v1")
        referring = push_image(host, "killswitch/referring")
        elsewhere = push_image(host, "killswitch/referring")
        _attach_bundle(referring, key, "https://sigstore.dev/cosign/sign/v1", subject=elsewhere)
        both = ["--key", self.key, "--key", self.other, "--require", "all"]
        mine = ["--key", self.key]
        self.cases = {
            "another key, bundle": ([*mine, foreign.reference], 12),
            "another key, legacy": ([*mine, foreign_legacy.reference], 12),
            "another image, bundle": ([*mine, moved[""].reference], 12),
            "another image, legacy": ([*mine, moved[".sig"].reference], 12),
            "annotations, bundle": ([*mine, "-a", "env=prod", plain.reference], 12),
            "annotations, legacy": ([*mine, "-a", "env=prod", plain_legacy.reference], 12),
            "one key of two": ([*both, plain.reference], 12),
            "denied digest": ([*mine, "--deny", folder / "digest", plain.reference], 16),
            "denied key": ([*mine, "--deny", folder / "key", plain.reference], 16),
            "another hash": ([*mine, "--signature-digest-algorithm", "sha512", plain.reference], 12),
            "payload type": ([*mine, wrong_type.reference], 12),
            "predicate type": ([*mine, attested.reference], 10),
            "manifest of another image": ([*mine, referring.reference], 12),
        }


def _pointing_at(client, image, raw):
    """The fallback index with each bundle's manifest saying that it refers to `image`: only the statement disagrees."""
    index = json.loads(raw)
    for entry in index["manifests"]:
        manifest = json.loads(client.get_manifest(image.repository, entry["digest"]).body)
        manifest["subject"] |= {"digest": image.digest, "size": len(image.raw)}
        body = json.dumps(manifest).encode()
        entry |= {"digest": client.put_manifest(image.repository, None, body, entry["mediaType"]), "size": len(body)}
    return json.dumps(index).encode()


def _attach_legacy(image, key, *, kind):
    payload = json.dumps(handmade.payload(image, type=kind)).encode()
    handmade.attach_legacy(image, payload, key.handle.sign(payload, "sha256"))


def _attach_bundle(image, key, predicate_type, *, subject=None):
    body = json.dumps(handmade.statement(image, predicateType=predicate_type)).encode()
    bundle = handmade.bundle(key.handle._handle, body)
    handmade.attach_bundle(image, bundle, subject=subject)


@pytest.fixture(scope="module")
def cases(docker_registry, key, other, sign, tmp_path_factory):
    return Cases(docker_registry, key, other, sign, tmp_path_factory.mktemp("killswitch")).cases


def test_each_case_is_refused_while_all_checks_are_made(cli, cases):
    assert {name: cli("verify", *args).code for name, (args, _) in cases.items()} == {
        name: code for name, (_, code) in cases.items()
    }


def _agreeing_signature(signature, message, asked, hint):
    return asked.keys[0], "ecdsa-p256-sha256", Finding("signature-verified", "passed", "agreed")


def _any_scheme(self, signature, message):
    return f"{self.algorithm}-sha256"


def _any_hash(signature, message, asked, hint, _real=None):
    from sealgate.verification import checks

    return checks.real_verify_signature(signature, message, asked._replace(hash_name=None), hint)


def _any_subject(statement, digest):
    return statement.subjects


def _any_payload(payload):
    from sealgate.evidence import simple

    document = json.loads(payload)
    document["critical"]["type"] = simple.TYPE
    return simple.real_parse(json.dumps(document).encode())


def _any_image(payload):
    """The payload of whatever image, as that of the image that is asked for."""
    from sealgate.evidence import simple

    class Everything:
        def __eq__(self, other):
            return True

        __hash__ = None

        def __str__(self):
            return "everything"

    return simple.real_parse(payload)._replace(digest=Everything())


def _any_predicate(payload):
    from sealgate.evidence import predicates, statement

    return statement.real_parse(payload)._replace(predicate_type=predicates.IMAGE_SIGNATURE)


def _agreeing_annotations(found, asked):
    return Finding("annotations-verified", "passed", "agreed")


KILLED = {
    # a check, replaced by one that agrees: the cases that are then accepted
    "verification.checks.verify_signature": (
        _agreeing_signature,
        {"another key, bundle", "another key, legacy", "another hash"},
    ),
    "keys.algorithms.PublicKey.verify": (_any_scheme, {"another key, bundle", "another key, legacy"}),
    "verification.checks.verify_signature of the hash": (_any_hash, {"another hash"}),
    "evidence.statement.subjects_of": (_any_subject, {"another image, bundle"}),
    "evidence.simple.parse of the type": (_any_payload, {"payload type"}),
    "evidence.simple.parse of the digest": (_any_image, {"another image, legacy"}),
    "evidence.statement.parse of the type": (_any_predicate, {"predicate type"}),
    "verification.checks.annotations_finding": (_agreeing_annotations, {"annotations, bundle", "annotations, legacy"}),
    "verification.requirement.is_met": (lambda requirement, signed_by: True, set()),
    "verification.deny.DenyList.digest": (lambda self, digest: None, {"denied digest"}),
    "verification.deny.DenyList.key": (lambda self, fingerprint: None, {"denied key"}),
    "verification.requirement._is_met": (lambda requirement, present: True, {"one key of two"}),
}


@pytest.mark.parametrize("check", KILLED)
def test_kill_switch_every_check_is_leaned_on(cli, cases, monkeypatch, check):
    """A check that always agrees is noticed: exactly the cases that it alone refuses are accepted then."""
    agreeing, expected = KILLED[check]
    holder, name = _find(check.partition(" ")[0])
    monkeypatch.setattr(
        holder, f"real{name}" if name.startswith("_") else f"real_{name}", getattr(holder, name), raising=False
    )
    monkeypatch.setattr(holder, name, agreeing)
    accepted = {case for case, (args, _) in cases.items() if cli("verify", *args).code == 0}
    if check == "verification.requirement.is_met":
        assert {"one key of two", "another key, bundle"} <= accepted
    elif check == "verification.requirement._is_met":
        assert expected <= accepted
    else:
        assert accepted == expected


@pytest.mark.parametrize(
    "code",
    sorted(
        {"signature-key-mismatch", "signature-subject-mismatch", "annotation-mismatch", "signature-hash-mismatch"}
        | {"payload-type-mismatch", "not-an-image-signature", "referrer-subject-mismatch", "denied-key"}
    ),
)
def test_kill_switch_every_failed_finding_alone_refuses(cli, cases, monkeypatch, code):
    """Each failing code stands in a case as the only one, so that no other check hides that it is gone."""
    assert code in CODES
    found = set()
    for args, _ in cases.values():
        for report in json.loads(cli("verify", *args, "-o", "verdict").out)["signatures"]:
            failed = [finding["code"] for finding in report["findings"] if finding["outcome"] == "failed"]
            if len(failed) == 1:
                found.add(failed[0])
    assert code in found
