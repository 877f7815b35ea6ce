"""Certificates and identities that are altered, in every form of evidence and with every way of supplying the trust root (C01 to C19)."""

import datetime
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from bypasses import scene
from bypasses.keyless_cases import CERTIFIED, Case, rows, try_case
from bypasses.keyless_forms import FORMS, names, public_pem
from bypasses.keyless_ways import WINDOWED, Asked, Asker, Roots
from trust.authorities import CODE_SIGNING, authority
from trust_service import ctlog, der
from trust_service.authority import Authority, Profile
from trust_service.identities import ARC, EMAIL, WORKFLOW, github
from trust_service.period import DAY, YEAR, Period

CHAINS = ("bundle-v0.1", "bundle-v0.2")
BUNDLES = names(holds="bundle", managed=False)
EVIL = "https://evil.test/?" + WORKFLOW
BY_WORKFLOW = {"identity": github()}


@pytest.fixture
def asker(trust_service, tmp_path):
    return Asker(trust_service, tmp_path)


# -- alterations of what a certificate says


def profile(**changes):
    """A certificate that says something else."""
    return {"certificate": lambda found: found._replace(**{
        name: value(getattr(found, name)) if callable(value) else value for name, value in changes.items()
    })}  # fmt: skip


def named(*given):
    return profile(names=given)


def extension(number, text):
    """One of Fulcio's extensions replaced, or added."""

    def alter(found):
        kept = tuple(each for each in found if each[0] != f"{ARC}.{number}")
        value = text.encode() if number < 7 else der.utf8(text)
        return (*kept, (f"{ARC}.{number}", value))

    return profile(extensions=alter)


class _Strange(Profile):
    """With a critical extension that nobody understands."""

    def build(self, last=None):
        found = super().build(last)
        builder = x509.CertificateBuilder(
            found.issuer, found.subject, found.public_key(), found.serial_number,
            found.not_valid_before_utc, found.not_valid_after_utc,
        )  # fmt: skip
        for each in found.extensions:
            builder = builder.add_extension(each.value, each.critical)
        unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.57264.9.9"), b"\x05\x00")
        return builder.add_extension(unknown, critical=True).sign(self.issuer_key, found.signature_hash_algorithm)


def by_a_signer(found):
    """Issued by a certificate of a signer, which is good in itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    own = found._replace(public_key=key.public_key(), subject="a signer").build()
    return found._replace(issuer=own, issuer_key=key)


def issued_by_itself(found):
    """In the authority's name, by a key of its own."""
    return found._replace(issuer_key=ec.generate_private_key(ec.SECP256R1()))


def twice(found):
    """An extension's OID written over another's: the issuer stands there twice; nothing but the signature shows it (C10)."""
    return found.replace(der.oid(f"{ARC}.24"), der.oid(f"{ARC}.8"))


# -- SCTs


def sct(**changes):
    return {"sct": lambda found: found._replace(**{
        name: value(getattr(found, name)) if callable(value) else value for name, value in changes.items()
    })}  # fmt: skip


def scts(alter):
    return {"scts": alter}


# -- authorities of other shapes: believed in, and yet


class Shape:
    """An authority of a root and what is below it; `good` has no flaw."""

    def __init__(self, flaw=None):
        now = datetime.datetime.now(datetime.UTC).timestamp()
        ends = {"start": int(now - YEAR), "end": int(now + YEAR)}
        above = authority("shape root", eku=(), **ends)
        options = {"eku": (CODE_SIGNING,), **ends}
        if flaw == "no keyCertSign":
            options["usages"] = ("digital_signature",)
        if flaw == "no authority":
            options["ca"] = False
        if flaw == "another purpose":
            options["eku"] = (x509.ExtendedKeyUsageOID.SERVER_AUTH,)
        if flaw == "a critical extension":
            unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.57264.9.9"), b"\x05\x00")
            options["more"] = [(unknown, True)]
        if flaw == "another's names":
            options["more"] = [(x509.NameConstraints([x509.RFC822Name("corp.test")], None), True)]
        if flaw == "expired":
            options["end"] = int(now - 60)
        if flaw == "the root expired":
            above = authority("shape root", key=above.key, start=ends["start"], end=int(now - 60))
        if flaw == "path length":
            above = authority("shape root", key=above.key, length=0, **ends)
            middle = authority("shape middle", above, **options)
            below = authority("shape below", middle, **options)
            self.chain = (below, middle, above)
        else:
            below = authority("shape below", above, **options)
            self.chain = (below, above)
        self.whole = Period(now - YEAR)

    def __call__(self, service, name):
        below, *_, above = self.chain
        made = Authority(name, below.certificate, above.certificate, below.key, above.key, self.whole)
        service._authorities[name] = _Whole(made, [each.der for each in self.chain])


class _Whole:
    """An authority with a chain of any length."""

    def __init__(self, made, chain):
        self._made, self.chain = made, chain

    def __getattr__(self, name):
        return getattr(self._made, name)

    def issue(self, *args):
        found = self._made.issue(*args)
        return [found[0], *self.chain]


FLAWS = {
    "no keyCertSign": "certificate-untrusted",
    "no authority": "certificate-untrusted",
    "another purpose": "certificate-untrusted",
    "a critical extension": "certificate-untrusted",
    "another's names": "certificate-untrusted",
    "path length": "certificate-untrusted",
    "expired": "certificate-expired",
    "the root expired": "certificate-expired",
}


@pytest.fixture
def shaped(trust_service):
    """`shaped(flaw)`: an authority of that shape at work, under the names `shape` and `flawed`."""

    def make(flaw):
        Shape()(trust_service, "shape")
        Shape(flaw)(trust_service, "flawed")

    yield make
    for name in ("shape", "flawed"):
        trust_service._authorities.pop(name, None)


TABLE = [
    # Who signed
    Case("C01 C03 another identity", "identity-mismatch", CERTIFIED, wrong_asked=Asked(subject="mallory@example.test")),
    Case("C01 C03 another issuer", "issuer-mismatch", CERTIFIED, wrong_asked=Asked(issuer="https://issuer.example.test")),
    Case("C01 C16 another workflow by the same name", "extension-mismatch", CERTIFIED,
         given=BY_WORKFLOW, asked=Asked(workflow=(("repository", "acme/app"), ("ref", "refs/heads/main"))),
         options={"identity": github(repository="evil/app")}),
    Case("C16 another trigger", "extension-mismatch", CERTIFIED,
         given=BY_WORKFLOW, asked=Asked(workflow=(("trigger", "push"),)), options={"identity": github(event_name="pull_request")}),
    Case("C02 a regular expression alone, for the name", "identity-mismatch", CERTIFIED,
         asked=Asked(subject_regexp=r"^signer@example\.test$"), options={"identity": "mallory@example.test"}),
    Case("C02 a regular expression alone, for the issuer", "issuer-mismatch", CERTIFIED,
         asked=Asked(issuer_regexp=r"^https?://127\.0\.0\.1:[0-9]+/oidc$"), options={"issuer": "https://issuer.example.test"}),
    Case("C04 a name that contains the one that is asked for", "identity-mismatch", CERTIFIED,
         given=BY_WORKFLOW, asked=Asked(subject=WORKFLOW), alter=named(x509.UniformResourceIdentifier(EVIL))),
    Case("C04 the same, with an expression that is anchored", "identity-mismatch", CERTIFIED,
         given=BY_WORKFLOW, asked=Asked(subject_regexp=rf"^{WORKFLOW}$"), alter=named(x509.UniformResourceIdentifier(EVIL))),
    Case("C04 a name that goes on", "identity-mismatch", CERTIFIED,
         given=BY_WORKFLOW, asked=Asked(subject=WORKFLOW), alter=named(x509.UniformResourceIdentifier(WORKFLOW + "2"))),
    Case("C05 C17 an issuer that the other contains", "issuer-mismatch", CERTIFIED,
         given={"issuer": "https://issuer.example.test"}, asked=Asked(issuer="https://issuer.example.test"),
         options={"issuer": "https://issuer.example"}),
    Case("C17 an issuer with a slash behind", "issuer-mismatch", CERTIFIED,
         given={"issuer": "https://issuer.example.test"}, asked=Asked(issuer="https://issuer.example.test"),
         options={"issuer": "https://issuer.example.test/"}),
    Case("C17 an issuer in capitals", "issuer-mismatch", CERTIFIED,
         given={"issuer": "https://issuer.example.test"}, asked=Asked(issuer="https://issuer.example.test"),
         options={"issuer": "https://Issuer.example.test"}),
    Case("C09 an address in other letters", "identity-mismatch", CERTIFIED,
         asked=Asked(subject=EMAIL), alter=named(x509.RFC822Name("SIGNER@example.test"))),
    Case("C09 the address as a URI", "identity-malformed", CERTIFIED,
         asked=Asked(subject=EMAIL), alter=named(x509.UniformResourceIdentifier(EMAIL))),
    Case("C09 the address as a URI with its scheme", "identity-mismatch", CERTIFIED,
         asked=Asked(subject=EMAIL), alter=named(x509.UniformResourceIdentifier(f"mailto:{EMAIL}"))),
    Case("C09 the address as a user's name", "identity-malformed", CERTIFIED, asked=Asked(subject=EMAIL),
         alter=named(x509.OtherName(x509.ObjectIdentifier(f"{ARC}.7"), der.utf8(EMAIL)))),
    Case("C09 two names", "identity-malformed", CERTIFIED,
         alter=named(x509.RFC822Name(EMAIL), x509.UniformResourceIdentifier("https://example.test/x"))),
    Case("C09 no name", "identity-malformed", CERTIFIED, asked=Asked(subject=EMAIL), alter=named()),
    Case("C09 a name of a host", "identity-malformed", CERTIFIED, asked=Asked(subject=EMAIL), alter=named(x509.DNSName("example.test"))),
    Case("C10 two issuers", "identity-malformed", CERTIFIED, alter=extension(1, "https://issuer.example.test")),
    Case("C10 the issuer twice", "certificate-malformed", CERTIFIED, asked=Asked(subject=EMAIL), alter={"signed-certificate": twice}),
    Case("C10 an extension that is no text", "certificate-malformed", CERTIFIED,
         alter=profile(extensions=lambda found: (*found, (f"{ARC}.12", b"\x0c\x02a")))),
    # What the certificate is for, and by whom
    Case("C07 a certificate of an authority", "certificate-usage", CERTIFIED, alter=profile(ca=True)),
    Case("C07 one that signs certificates", "certificate-usage", CERTIFIED,
         alter=profile(usages=("digital_signature", "key_cert_sign"))),
    Case("C07 one that signs nothing", "certificate-usage", CERTIFIED, alter=profile(usages=("key_encipherment",))),
    Case("C07 one for another purpose", "certificate-usage", CERTIFIED, alter=profile(purposes=("1.3.6.1.5.5.7.3.1",))),
    Case("C07 one for no purpose", "certificate-usage", CERTIFIED, alter=profile(purposes=())),
    Case("C07 a critical extension that nobody knows", "certificate-malformed", CERTIFIED,
         alter={"certificate": lambda found: _Strange(*found)}),
    Case("C07 issued by a signer", "certificate-untrusted", CERTIFIED, alter={"certificate": by_a_signer}),
    Case("C07 issued by itself in the name of the authority", "certificate-untrusted", CERTIFIED, alter={"certificate": issued_by_itself}),
    Case("C07 issued by a stranger", "certificate-untrusted", CERTIFIED, options={"authority": "stranger"}),
    Case("C07 with its own root behind it", "certificate-malformed", CHAINS,
         change=lambda _, evidence: evidence.with_certificates(*evidence.made.certificates)),
    Case("C07 of a stranger, with the stranger's intermediate", "certificate-untrusted", CHAINS, options={"authority": "stranger"}),
    Case("C12 hundreds of certificates behind it", "evidence-limit", CHAINS,
         change=lambda _, evidence: evidence.with_certificates(evidence.made.certificate, *[evidence.made.certificates[1]] * 500)),
    Case("C12 more certificates behind it than are looked at", "certificate-malformed", CHAINS,
         change=lambda _, evidence: evidence.with_certificates(evidence.made.certificate, *[evidence.made.certificates[1]] * 11)),
    Case("C13 the certificate of somebody else", "signature-invalid", CERTIFIED,
         change=lambda service, evidence: evidence.with_certificates(
             evidence.form.make(service, identity=EMAIL).made.certificate)),
    Case("C13 somebody else's in front of the one that signed", "signature-invalid", CHAINS,
         change=lambda service, evidence: evidence.with_certificates(
             evidence.form.make(service).made.certificate, evidence.made.certificate)),
    Case("C13 one that is no certificate", "certificate-malformed", BUNDLES,
         change=lambda _, evidence: evidence.with_certificates(evidence.made.certificate[:-1])),
    # When
    Case("C06 C15 an authority whose certificates have expired", "certificate-expired", CERTIFIED,
         given=lambda service: {"authority": "expired", "at": service.now() - 2 * DAY}, roots=Roots(authorities=("expired",)),
         change=lambda service, evidence: evidence.form.make(service, authority="expired")),
    Case("C15 an authority that is not in use any more", "certificate-untrusted", CERTIFIED, WINDOWED,
         given=lambda service: {"authority": "retired", "at": service.now() - 2 * DAY}, roots=Roots(authorities=("retired",)),
         change=lambda service, evidence: evidence.form.make(service, authority="retired")),
    Case("S06 C06 a certificate that had ended", "log-time-outside", names(rekor=1, managed=False),
         alter=profile(not_before=lambda at: at - DAY, not_after=lambda at: at - DAY + 600)),
    Case("S06 C06 a certificate that had not begun", "timestamp-outside", names(rekor=2, managed=False),
         alter=profile(not_before=lambda at: at + 300)),
    # That it was logged
    Case("C08 no SCT", "sct-missing", CERTIFIED, options={"ct": ()}),
    Case("C08 by a log of nobody", "sct-untrusted", CERTIFIED, options={"ct": "stranger"}),
    Case("C08 C14 by a log that was not in use any more", "sct-untrusted", CERTIFIED, WINDOWED,
         given=lambda service: {"ct": "retired", "at": service.now() - 2 * DAY}, roots=Roots(ct=("retired",)),
         change=lambda service, evidence: evidence.form.make(service, ct="retired")),
    Case("C08 over another certificate", "sct-invalid", CERTIFIED, alter=sct(tbs=lambda found: found[:-1] + b"\0")),
    Case("C08 for another issuer", "sct-invalid", CERTIFIED, alter=sct(issuer_key_hash=b"\0" * 32)),
    Case("C08 by another key in the log's name", "sct-invalid", CERTIFIED, alter=sct(key=ec.generate_private_key(ec.SECP256R1()))),
    Case("C08 one byte flipped", "sct-invalid", CERTIFIED, alter={"signed-sct": lambda found: found[:-1] + bytes([found[-1] ^ 1])}),
    Case("C08 cut off", "certificate-malformed", CERTIFIED, asked=Asked(subject=EMAIL), alter={"signed-sct": lambda found: found[:-1]}),
    Case("C08 bytes behind it", "certificate-malformed", CERTIFIED, asked=Asked(subject=EMAIL), alter={"signed-sct": lambda found: found + b"\0"}),
    Case("C08 an empty list", "sct-missing", CERTIFIED,
         alter={"certificate": lambda found: found._replace(
             extensions=(*found.extensions, (ctlog.LIST_OID, der.octets(ctlog.encode_list([])))))}, options={"ct": ()}),
    Case("C08 a good one beside a bad one of the same log", "sct-invalid", CERTIFIED,
         alter=scts(lambda found: [*found, found[0][:-1] + bytes([found[0][-1] ^ 1])])),
    # Keys
    Case("C19 the entry of a certificate where a key is asked for", "log-entry-not-bound", names(managed=True),
         change=lambda service, evidence: evidence.with_entries_of(
             FORMS[{"key-rekor1": "bundle-rekor1", "key-rekor2": "bundle-rekor2", "key-legacy-image": "legacy-image"}[
                 evidence.form.name]].make(service))),
]  # fmt: skip


@pytest.mark.parametrize(("case", "way"), rows(TABLE))
def test_each_alteration_is_refused(trust_service, asker, case, way):
    try_case(trust_service, asker, case, way)


@pytest.mark.parametrize("flaw", FLAWS)
@pytest.mark.parametrize("way", ["file", "tuf", "environment", "chain", "roots", "library"])
def test_C06_C07_C11_an_authority_of_the_wrong_shape_is_believed_in_by_nobody(trust_service, asker, shaped, flaw, way):
    shaped(flaw)
    for name in ("bundle-rekor1", "attestation-rekor1", "legacy-image"):
        form = FORMS[name]
        good = asker.ask(form.make(trust_service, authority="shape"), way, Roots(authorities=("shape",)))
        assert good.accepted, good
        bad = asker.ask(form.make(trust_service, authority="flawed"), way, Roots(authorities=("flawed",)))
        assert (bad.accepted, bad.codes) == (False, {FLAWS[flaw]}), bad


@pytest.mark.parametrize("way", ["file", "tuf", "environment", "chain", "roots", "library"])
def test_C08_several_scts_and_their_extensions_are_good(trust_service, asker, way):
    for name in ("bundle-rekor1", "legacy-image", "attestation-rekor1"):
        form = FORMS[name]
        for good in (
            form.make(trust_service, ct=("current", "second")),
            form.make(trust_service, scts(lambda found: [*found, *found])),
            form.make(trust_service, sct(extensions=b"\0\0\x05\0\0\0\0\x07")),
        ):
            assert asker.ask(good, way).accepted
        assert not asker.ask(form.make(trust_service, ct=()), way).accepted


def test_C07_an_intermediate_that_comes_along_is_never_used(trust_service, asker, tmp_path):
    """An authority that is known by its root alone issues nothing by what evidence brings along."""
    document = trust_service.trusted_root()
    whole = json.dumps(document)
    for each in document["certificateAuthorities"]:
        each["certChain"]["certificates"] = each["certChain"]["certificates"][-1:]
    evidence = FORMS["bundle-v0.2"].make(trust_service)
    assert len(evidence.material["x509CertificateChain"]["certificates"]) == 2
    found = {}
    for name, text in (("whole", whole), ("root", json.dumps(document))):
        (tmp_path / name).write_text(text)
        who = ["--certificate-identity", evidence.made.subject, "--certificate-oidc-issuer", evidence.made.issuer]
        command, *rest = evidence.form.arguments(evidence, tmp_path / "evidence")
        words = [command, "-o", "verdict", *who, "--trusted-root", str(tmp_path / name), *rest]
        found[name] = scene.run(words, environ={"HOME": str(tmp_path)})
    found["whole"].is_accepted()
    found["root"].is_refused("certificate-untrusted", 12)


@pytest.mark.parametrize("name", CERTIFIED)
def test_C18_without_an_identity_no_certificate_counts(trust_service, tmp_path, name):
    evidence = FORMS[name].make(trust_service)
    (tmp_path / "root.json").write_text(json.dumps(trust_service.trusted_root()))
    command, *rest = evidence.form.arguments(evidence, tmp_path / "evidence")
    root = ["--trusted-root", str(tmp_path / "root.json")]
    home = {"HOME": str(tmp_path)}
    who = ["--certificate-identity", evidence.made.subject, "--certificate-oidc-issuer", evidence.made.issuer]
    scene.run([command, "-o", "verdict", *root, *who, *rest], environ=home).is_accepted()
    for half in ([], who[:2], who[2:], ["--certificate-identity", "", *who[2:]]):
        said = scene.run([command, *root, *half, *rest], environ=home)
        assert (said.exit_code, said.stdout) == (2, "")


@pytest.mark.parametrize("name", ["bundle-rekor1", "bundle-rekor2", "legacy-file", "legacy-image"])
def test_C19_a_key_that_is_asked_for_is_not_that_of_a_certificate(trust_service, tmp_path, name):
    evidence, other = (FORMS[name].make(trust_service) for _ in range(2))
    (tmp_path / "root.json").write_text(json.dumps(trust_service.trusted_root()))
    command, *rest = evidence.form.arguments(evidence, tmp_path / "evidence")
    found = {}
    for whose, made in (("mine", evidence.made), ("other", other.made)):
        (tmp_path / f"{whose}.pub").write_bytes(public_pem(made))
        words = [command, "-o", "verdict", "--key", str(tmp_path / f"{whose}.pub"), *rest]
        found[whose] = scene.run(words, environ={"HOME": str(tmp_path)})
    found["mine"].is_accepted()
    assert (found["other"].exit_code, found["other"].verdict["outcome"]) == (12, "refused")


def test_C13_the_identity_is_that_of_the_certificate_that_verified(trust_service, asker):
    """Of two certificates in one bundle neither lends its name to the other's signature."""
    victim = FORMS["bundle-v0.2"].make(trust_service, identity="victim@example.test")
    mallory = FORMS["bundle-v0.2"].make(trust_service, identity="mallory@example.test")
    asked = Asked(subject="victim@example.test", issuer=victim.made.issuer)
    assert asker.ask(victim, "file", asked=asked).accepted
    for order in ((victim, mallory), (mallory, victim)):
        mixed = mallory.with_certificates(*(each.made.certificate for each in order))
        assert not asker.ask(mixed, "file", asked=asked).accepted
