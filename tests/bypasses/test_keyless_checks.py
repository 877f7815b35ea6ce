"""Every step of verifying keyless is leaned on: when one of them always agrees, something that is refused is accepted (L16).

Each step is replaced by one that agrees; the evidence that it alone refuses must be accepted then, and nothing else than what
is declared here. A step that nobody leans on could be left out, and nobody would notice.
"""

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from bypasses.keyless_forms import FORMS
from bypasses.keyless_ways import Asked, Asker, Roots
from sealgate.trust import (
    certificates,
    checkpoint,
    entries,
    identity,
    merkle,
    proof,
    rekor1,
    rekor2,
    sct,
    timestamps,
    token,
)
from sealgate.verification import signer
from trust_service.period import DAY

V1, V2, DSSE, KEY, LEGACY = (
    FORMS[name] for name in ("bundle-rekor1", "bundle-rekor2", "attestation-rekor1", "key-rekor1", "legacy-image")
)


def _flip(data):
    return data[:-1] + bytes([data[-1] ^ 1])


def _cases(service):
    """Evidence that must be refused, each for one reason alone: (evidence, what is asked, who is believed in)."""
    key = ec.generate_private_key(ec.SECP256R1())
    v1, v2 = V1.make(service, key=key), V2.make(service, key=key)
    made = {
        "another identity": (v1, Asked(subject="mallory@example.test"), Roots()),
        "no identity in common": (v1, Asked(issuer="https://issuer.example.test"), Roots()),
        "another entry, v1": (v1.with_entries_of(V1.make(service, key=key)), Asked(), Roots()),
        "another entry, v2": (v2.with_entries_of(V2.make(service, key=key)), Asked(), Roots()),
        "another entry, legacy": (LEGACY.make(service, key=key).with_entries_of(LEGACY.make(service, key=key)), Asked(), Roots()),
        "no entry": (V1.make(service, tsa="current").without_entries(), Asked(), Roots()),
        "an entry twice": (v1.with_entries_of(v1, v1), Asked(), Roots()),
        "a promise by nobody": (V1.make(service, {"signed-set": _flip}), Asked(), Roots()),
        "a checkpoint by nobody": (
            V2.make(service, {"checkpoint": lambda found: found._replace(
                key=ed25519.Ed25519PrivateKey.generate())}), Asked(), Roots()),
        "a proof of nothing": (V2.make(service, {"proof": lambda found: found | {
            "hashes": [*found["hashes"][:-1], b"\0" * 32] if found["hashes"] else [b"\0" * 32]}}), Asked(), Roots()),
        "a log of nobody": (V1.make(service, log="stranger"), Asked(), Roots()),
        "a log that was retired": (V2.make(service, log="retired"), Asked(), Roots(logs=("retired",))),
        "a time that nothing signs": (
            V1.make(service, tsa="current").with_entry(lambda found: (
                found.pop("inclusionPromise"),
                found.update(integratedTime=str(int(found["integratedTime"]) + DAY)),
            )), Asked(), Roots()),
        "promised too late": (V1.make(service, {"set": lambda found: found | {
            "integratedTime": found["integratedTime"] + DAY}}), Asked(), Roots()),
        "stamped too late": (V2.make(service, {"timestamp": lambda found: found._replace(at=found.at + DAY)}), Asked(), Roots()),
        "a timestamp of something else": (V2.make(service, {"timestamp": lambda found: found._replace(
            imprint=hashlib.sha256(b"x").digest())}), Asked(), Roots()),
        "a timestamp by nobody": (V2.make(service, {"timestamp": lambda found: found._replace(
            key=ec.generate_private_key(ec.SECP256R1()))}), Asked(), Roots()),
        "no timestamp": (v2.with_timestamps(), Asked(), Roots()),
        "a timestamp that is asked for": (v1, Asked(stamped=True), Roots()),
        "issued by nobody": (V1.make(service, authority="stranger"), Asked(), Roots()),
        "issued in the name of somebody": (V1.make(service, {"certificate": lambda found: found._replace(
            issuer_key=ec.generate_private_key(ec.SECP256R1()))}), Asked(), Roots()),
        "issued when it was retired": (V1.make(service, authority="retired"), Asked(), Roots(authorities=("retired",))),
        "issued under what had expired": (V1.make(service, authority="expired"), Asked(), Roots(authorities=("expired",))),
        "its own root behind it": (
            FORMS["bundle-v0.2"].make(service), Asked(), Roots()),
        "an SCT by nobody": (V1.make(service, {"sct": lambda found: found._replace(
            key=ec.generate_private_key(ec.SECP256R1()))}), Asked(), Roots()),
        "no SCT": (V1.make(service, ct=()), Asked(), Roots()),
        "the certificate of another key": (v1.with_certificates(V1.make(service).made.certificate), Asked(), Roots()),
        "a proof that is left out": (v1.with_entry(lambda found: found.pop("inclusionProof")), Asked(), Roots()),
        "a key's, another entry": (KEY.make(service, key=key).with_entries_of(KEY.make(service, key=key)), Asked(), Roots()),
        "a workflow's, from another repository": (
            V1.make(service), Asked(workflow=(("repository", "acme/app"),)), Roots()),
    }  # fmt: skip
    rooted = made["its own root behind it"][0]
    made["its own root behind it"] = (rooted.with_certificates(*rooted.made.certificates), Asked(), Roots())
    return made


# -- what replaces a step


def _agreeing_promise(logs, body, at, index, signature):
    return logs[0]


def _included(proof, log, bodies, *, tiles):
    from sealgate.trust import fields

    return entries.Place(fields.integer(proof, "logIndex"), 0, b"")


def _any_bind1(body, signed):
    from sealgate.trust import fields

    whole = rekor1.document(body)
    return fields.text(whole, "kind"), fields.text(whole, "apiVersion")


def _any_path(leaf, root, at):
    authority = root.certificate_authorities[0]
    [issuer] = [
        each for each in certificates._issuers(authority.chain).found if len(each.links) == len(authority.chain)
    ]
    return certificates.Path(authority, issuer.spki)


def _any_scts(leaf, path, root, *, detached):
    return (sct.Sct(root.ct_logs[0], 0.0),)


def _any_stamp(response, stamped, root):
    return timestamps.Stamp(root.timestamp_authorities[0], token.read(response).time)


def _nothing(*_, **__):
    return None


def _forgiving(wrapped, needed):
    """Nothing is needed of what `wrapped` finds needed."""

    def agree(demand, *, certificate):
        return wrapped(demand, certificate=certificate) - needed

    return agree


AGREEING = {
    # Step: where it is, what replaces it, what is accepted then
    "(A) the entry is about the signature, Rekor v1": (rekor1, "bind", _any_bind1, {
        "another entry, v1", "another entry, legacy", "a key's, another entry"}),
    "(A) the entry is about the signature, Rekor v2": (rekor2, "bind", lambda body, kind, signed: (body,), {"another entry, v2"}),
    "(A) the promise is the log's": (entries, "_promised", _agreeing_promise, {"a promise by nobody"}),
    "(A) the entry is in the log": (entries, "_included", _included, {"a checkpoint by nobody", "a proof of nothing"}),
    "(A) the path leads to the root": (merkle, "root_of", None, {"a proof of nothing"}),
    "(A) the checkpoint is the log's": (checkpoint, "verified", lambda found, log, *, tiles: found, {"a checkpoint by nobody"}),
    "(A) the log's key was in use": (proof, "_log_keys_in_use", _nothing, {"a log that was retired"}),
    "(A) a time that nothing signs is not wrong": (proof, "_claims", _nothing, {"a time that nothing signs"}),
    "(B) the timestamp": (timestamps, "verify_timestamp", _any_stamp, {
        "a timestamp of something else", "a timestamp by nobody"}),
    "(B) the timestamp is about the signature": (timestamps, "_bound", _nothing, {"a timestamp of something else"}),
    "(B) the timestamp is by the authority": (timestamps, "_verify", _nothing, {"a timestamp by nobody"}),
    "(C) the path": (certificates, "path_at", _any_path, {
        "issued in the name of somebody", "issued when it was retired", "issued under what had expired"}),
    "(C) who issued it": (certificates, "_issued", lambda below, issuer: below.issuer == issuer.raw.subject, {
        "issued in the name of somebody"}),
    "(C) everything above it was valid": (certificates, "_objection", _nothing, {
        "issued when it was retired", "issued under what had expired"}),
    "(C) no root comes along": (certificates, "check_bag", _nothing, {"its own root behind it"}),
    "(D) the SCTs": (sct, "verify_scts", _any_scts, {"an SCT by nobody", "no SCT"}),
    "(D) each SCT is by its log": (sct, "_verify", _nothing, {"an SCT by nobody"}),
    "(F) who signed": (identity.IdentityPattern, "mismatch", _nothing, {
        "another identity", "no identity in common", "a workflow's, from another repository"}),
}  # fmt: skip


@pytest.fixture
def asker(trust_service, tmp_path):
    return Asker(trust_service, tmp_path)


def _accepted(asker, cases):
    return {
        name for name, (evidence, asked, roots) in cases.items() if asker.ask(evidence, "file", roots, asked).accepted
    }


def test_each_case_is_refused_while_all_steps_are_made(trust_service, asker):
    assert _accepted(asker, _cases(trust_service)) == set()
    for form in FORMS.values():
        assert asker.ask(form.make(trust_service), "file").accepted


@pytest.mark.parametrize("step", AGREEING)
def test_L16_every_step_is_leaned_on(trust_service, asker, monkeypatch, step):
    holder, name, agreeing, expected = AGREEING[step]
    cases = _cases(trust_service)
    if name == "root_of":
        monkeypatch.setattr(checkpoint, "verified", _remembering(checkpoint.verified))
        agreeing = lambda leaf, index, size, path: _Root.last  # noqa: E731
    certificates._issued.cache_clear()
    if name == "_issued":
        certificates._issuers.cache_clear()
    monkeypatch.setattr(holder, name, agreeing)
    try:
        assert _accepted(asker, cases) == expected
    finally:
        monkeypatch.undo()
        certificates._issuers.cache_clear()


class _Root:
    last = b""


def _remembering(verified):
    def verify(found, log, *, tiles):
        head = verified(found, log, tiles=tiles)
        _Root.last = head.root
        return head

    return verify


NEEDED = {
    "log-entry-verified": {"no entry"},
    "timestamp-verified": {"a timestamp that is asked for"},
    "certificate-verified": {"no timestamp"},
    "sct-verified": {"no SCT"},
}


@pytest.mark.parametrize("code", NEEDED)
def test_L16_S05_what_was_skipped_has_not_passed(trust_service, asker, monkeypatch, code):
    """Were a failed check forgotten, the step would be missed all the same; and were it not needed, it would not."""
    cases = {name: _cases(trust_service)[name] for name in NEEDED[code]}
    finding = signer.Finding

    def forgotten(*check):
        made = finding(*check)
        return made._replace(outcome="skipped") if made.outcome == "failed" else made

    monkeypatch.setattr(signer, "Finding", forgotten)
    assert _accepted(asker, cases) == set()
    needed = proof.needed
    behind = {"sct-verified"} if code == "certificate-verified" else set()  # without a path there is no SCT to look at
    monkeypatch.setattr(proof, "needed", _forgiving(needed, {code, *behind}))
    assert _accepted(asker, cases) == set(cases)


def test_E_the_signature_is_leaned_on(trust_service, asker, monkeypatch):
    """(E) The signature over the file: nothing else refuses another file with the evidence of this one."""
    from sealgate.verification import blob

    evidence = KEY.make(trust_service)
    other = evidence._replace(content=b"another file\n").changed(
        lambda document: document["messageSignature"].pop("messageDigest")
    )
    assert not asker.ask(other, "file").accepted
    assert not asker.ask(V1.make(trust_service)._replace(content=b"another file\n"), "file").accepted
    monkeypatch.setattr(blob, "_scheme", lambda key, evidence, file, asked: f"{key.algorithm}-sha256")
    refused = asker.ask(other, "file")
    assert refused.codes == {"log-entry-not-bound"}
