"""What tests of timestamps share: authorities with whatever certificates, and tokens that are taken apart and put together."""

import datetime
import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from sealgate.trust import timestamps
from sealgate.trust.failure import TrustFailure
from sealgate.trust.root import Authority, Period, TrustRoot
from trust.recordings import recorded, recorded_root
from trust_service import der, timestamping
from trust_service.hooks import Hooks

ROOT = recorded_root()
RECORDED = [case for case in recorded() if case.timestamps]
SIGNATURE = b"the raw bytes of a signature"
IMPRINT = hashlib.sha256(SIGNATURE).digest()
NOW = 1_790_000_000.0
DAY, YEAR = 86_400, 31_536_000
OPEN = Period(None, None)
PURPOSE = x509.ExtendedKeyUsageOID.TIME_STAMPING


def root_with(*chains, valid=OPEN):
    return TrustRoot(
        (), (), (), tuple(Authority(chain, valid, f"https://tsa{n}.test") for n, chain in enumerate(chains))
    )


def verify(response, root, signature=SIGNATURE):
    return timestamps.verify_timestamp(response, (signature,), root)


def refusal(function):
    with pytest.raises(TrustFailure) as failure:
        function()
    assert failure.value.message.startswith("its timestamp")
    return failure.value.code


def certificate(
    name, key, *, issuer=None, issuer_key=None, ca=False, purposes=(), critical=True, usages=("digital_signature",),
    start=NOW - YEAR, end=NOW + YEAR, length=None, basic=True, more=(), serial=None, hashed=None,
):  # fmt: skip
    def named(text):
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    def moment(at):
        return datetime.datetime.fromtimestamp(at, datetime.UTC)

    builder = x509.CertificateBuilder(
        named(issuer or name),
        named(name),
        key.public_key(),
        serial or x509.random_serial_number(),
        moment(start),
        moment(end),
    )
    if basic:
        builder = builder.add_extension(x509.BasicConstraints(ca, length), critical=True)
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(list(purposes)), critical=critical)
    if usages:
        words = (
            "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign "
            "encipher_only decipher_only"
        ).split()
        builder = builder.add_extension(x509.KeyUsage(**{word: word in usages for word in words}), critical=True)
    for extension, is_critical in more:
        builder = builder.add_extension(extension, critical=is_critical)
    return builder.sign(issuer_key or key, hashed or hashes.SHA256())


CA = {"ca": True, "usages": ("key_cert_sign",)}
LEAF = {"purposes": (PURPOSE,)}


class Maker:
    """An authority: root, intermediate, leaf, of which a test changes any."""

    def __init__(self, *, leaf=None, middle=None, root=None, name="tsa"):
        self.keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
        root_key, middle_key, self.key = self.keys
        self.root = certificate(f"{name} root", root_key, **(CA | (root or {})))
        self.middle = certificate(
            f"{name} middle", middle_key, issuer=f"{name} root", issuer_key=root_key, **(CA | (middle or {}))
        )
        issued = {"issuer": f"{name} middle", "issuer_key": middle_key}
        self.leaf = certificate(name, self.key, **(issued | LEAF | (leaf or {})))

    @property
    def certificates(self):
        return self.leaf, self.middle, self.root

    @property
    def chain(self):
        return tuple(one.public_bytes(Encoding.DER) for one in self.certificates)

    def stamp(self, at=NOW, *, alter=None, imprint=IMPRINT, hash_="sha256", key=None, **changes):
        hooks = Hooks({name: (change,) for name, change in (alter or {}).items()})
        made = timestamping.Timestamp(hash_, imprint, at, None, False, key or self.key, self.certificates, 1 << 100)
        return hooks("signed-timestamp", hooks("timestamp", made._replace(**changes)).signed())


def parts_of(response):
    """The elements of SignedData, and a function that puts them together again."""
    [whole] = der.read_all(response)
    status, token = whole.children()
    kind, content = token.children()
    [data] = content.children()

    def again(parts):
        inner = der.tlv(0xA0, der.sequence(*(part.raw for part in parts)))
        return der.sequence(status.raw, der.sequence(kind.raw, inner))

    return data.children(), again


def signer_with(response, change):
    parts, again = parts_of(response)
    [signer] = parts[-1].children()
    changed = change(signer.children())
    return again([*parts[:-1], der.Element(0x31, der.sequence(*(part.raw for part in changed)))])


def length_of(element):
    return 1 if element[1] < 0x80 else 1 + (element[1] & 0x7F)


def bag_of(response, certificates):
    parts, again = parts_of(response)
    parts = [part for part in parts if part.tag != 0xA0]
    bag = der.Element(0xA0, b"".join(one.public_bytes(Encoding.DER) for one in certificates))
    return again([*parts[:3], bag, parts[3]])
