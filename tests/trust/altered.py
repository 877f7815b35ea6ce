"""What tests of log entries share: entries that are altered before or after their log signs them, and why they are refused."""

import base64
import copy
import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding

from sealgate.trust import entries
from sealgate.trust.failure import TrustFailure
from trust.recordings import of_made, recorded, recorded_root, root_of
from trust_service import authority, rekor2
from trust_service.hooks import Hooks

ROOT = recorded_root()
RECORDED = [case for case in recorded() if case.entries or case.promises]
BY_NAME = {case.name: case for case in RECORDED}
BOTH = pytest.mark.parametrize("rekor", [1, 2])
KINDS = pytest.mark.parametrize("kind", ["blob", "dsse"])


def verify(case, root, signed=None):
    """What every entry of a case proves."""
    signed = signed or case.signed
    found = [entries.verify_entry(entry, signed, root) for entry in case.entries]
    return found + [entries.verify_promise(promise, signed, root) for promise in case.promises]


def refusal(function):
    with pytest.raises(TrustFailure) as failure:
        function()
    assert failure.value.message.startswith(("its log entry", "the checkpoint of its log entry"))
    return failure.value.code


def code_of(service, alter=None, root=None, **options):
    """Why a bundle that was altered is refused. Its unaltered twin is not."""
    trusted = root_of(service.trusted_root()) if root is None else root
    assert verify(of_made(service.make_bundle(**options)), trusted)
    case = of_made(service.make_bundle(alter=alter, **options))
    return refusal(lambda: verify(case, trusted))


def entry_with(**changes):
    """An alteration of an entry: members replaced, `None` removes."""

    def alter(entry):
        changed = {**entry, **changes}
        return {name: value for name, value in changed.items() if value is not None}

    return {"entry": alter}


def proof_with(**changes):
    def alter(entry):
        return entry | {"inclusionProof": entry_with(**changes)["entry"](entry["inclusionProof"])}

    return {"entry": alter}


def in_body(*path, to):
    """An alteration of what the log holds, and so signs."""

    def alter(body):
        body = copy.deepcopy(body)
        at = body
        for name in path[:-1]:
            at = at[name]
        at[path[-1]] = to(at[path[-1]]) if callable(to) else to
        return body

    return {"body": alter}


def b64(data):
    return base64.b64encode(data).decode()


def _other_pem():
    key = ec.generate_private_key(ec.SECP256R1())
    times = (datetime.datetime(year, 1, 1, tzinfo=datetime.UTC) for year in (2026, 2027))
    builder = x509.CertificateBuilder(x509.Name([]), x509.Name([]), key.public_key(), 7, *times)
    return authority.pem([builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)]).encode()


OTHER_PEM = _other_pem()


def held(service, body):
    """The entry of a log of tiles that holds whatever it is told to."""
    entry = service.log2().add(rekor2_request(), Hooks({"body": (lambda _: body,)}))
    del entry["inclusionPromise"], entry["integratedTime"]
    return entry


def hashedrekord_v2(signed, details, name, digest):
    verifier = {"keyDetails": details, "publicKey": {"rawBytes": b64(signed.key.spki)}}
    content = {
        "data": {"algorithm": name, "digest": b64(digest)},
        "signature": {"content": b64(signed.signature), "verifier": verifier},
    }
    return {"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": {"hashedRekordV002": content}}


def rekor2_request():
    key = ec.generate_private_key(ec.SECP256R1())
    digest = b"x" * 32
    signature = key.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256())))
    return rekor2.request(digest, signature, key.public_key(), None)
