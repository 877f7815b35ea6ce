"""A certificate authority of somebody's own, for people who sign with keys: a root, an intermediate, and certificates."""

from __future__ import annotations

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NAME = "me@example.test"
_DAY = datetime.timedelta(days=1)


class CodeSigning:
    """`chain`: intermediate and root, `root`, `intermediate`: each alone; PEM files."""

    def __init__(self, folder: Path, name: str = "own") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._name = name
        above, self._key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        root = self._make(f"{name} root", above.public_key(), above, f"{name} root", ca=True)
        below = self._make(f"{name} authority", self._key.public_key(), above, f"{name} root", ca=True)
        self.chain = self._write(f"{name}-chain.pem", below, root)
        self.root = self._write(f"{name}-root.pem", root)
        self.intermediate = self._write(f"{name}-intermediate.pem", below)

    def issue(
        self, public_key: Path | str, *, named: str | None = NAME, days: int = 30, purpose: bool = True
    ) -> x509.Certificate:
        """A certificate for the public key in a PEM file; `days` below 0: it has expired."""
        key = serialization.load_pem_public_key(Path(public_key).read_bytes())
        return self._make(
            "somebody", key, self._key, f"{self._name} authority", named=named, days=days, purpose=purpose
        )

    def pem(self, public_key: Path | str, **more) -> Path:
        """The same as a file."""
        made = self.issue(public_key, **more)
        return self._write(f"{self._name}-{made.serial_number:x}.pem", made)

    def _make(self, subject, key, by, issuer, *, ca=False, named=None, days=300, purpose=False):
        now = datetime.datetime.now(datetime.UTC)
        begin, end = sorted((now - _DAY - max(-days, 0) * 2 * _DAY, now + days * _DAY))
        builder = x509.CertificateBuilder(_named(issuer), _named(subject), key, x509.random_serial_number(), begin, end)
        builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
        usage = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False)
        usage |= {"digital_signature": not ca, "key_cert_sign": ca, "crl_sign": ca}
        builder = builder.add_extension(x509.KeyUsage(**usage, encipher_only=False, decipher_only=False), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        above = x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key())
        builder = builder.add_extension(above, critical=False)
        if purpose:
            purposes = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CODE_SIGNING])
            builder = builder.add_extension(purposes, critical=False)
        if named is not None:
            names = x509.SubjectAlternativeName([x509.RFC822Name(named)])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(by, hashes.SHA256())

    def _write(self, name, *certificates):
        path = self._folder / name
        path.write_bytes(b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates))
        return path


def _named(name):
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
