"""How the library is used, for `mypy --strict` (`make types`) to judge: right uses have the right types, wrong ones are errors.

Every `type: ignore` here is a mistake that a type checker must see; one that it no longer sees is an error itself.
"""

from typing import assert_type

import sealgate
from sealgate import blocking


async def right(key: sealgate.PublicKey, signer: sealgate.Signer, private: sealgate.PrivateKey) -> None:
    verdict = await sealgate.verify("a/b:c", keys=[key], require="any")
    assert_type(verdict, sealgate.Verdict)
    assert_type(verdict.accepted, bool)
    assert_type(verdict.digest, sealgate.Digest | None)
    assert_type(verdict.signatures, tuple[sealgate.SignatureReport, ...])
    found = await sealgate.verify_all(
        ["a/b:c", sealgate.Reference.parse("a/b")],
        keys={"release": key},
        require=1,
        annotations={"env": "prod"},
        deny=sealgate.parse_deny_list(b"", what="nothing"),
        recursive=True,
        registry=sealgate.RegistrySettings(allow_http=True, tls=sealgate.Tls(ca_file="ca.pem")),
    )
    assert_type(found, list[list[sealgate.Verdict]])
    made = await sealgate.sign("a/b:c", keys=[signer, private], formats=["bundle", "legacy"])
    assert_type(made, list[sealgate.Signature])
    listed = await sealgate.attachments("a/b:c", content=True)
    assert_type(listed, sealgate.Attachments)
    assert_type(listed.items, tuple[sealgate.Attachment, ...])
    assert_type(await sealgate.resolve("a/b:c"), sealgate.Digest)
    assert_type(await sealgate.copy("a/b:c", "oci:DIR", only=["sig"], force=True), sealgate.Copied)
    async with sealgate.Client.from_environment(seconds=10) as client:
        assert_type(client, sealgate.Client)
        assert_type(await client.verify("a/b:c", keys=[key], require="all"), sealgate.Verdict)
    root = await sealgate.load_trust_root("trusted_root.json")
    assert_type(root, sealgate.TrustRoot)
    assert_type(await sealgate.load_trust_root(environ={}), sealgate.TrustRoot)
    who = sealgate.identity("ci@corp.test", issuer="https://issuer.corp.test")
    assert_type(who, sealgate.IdentityPattern)
    keyless = await sealgate.verify("a/b:c", identities=[who], trust_root=root, require="any", unsafe_ignore_sct=True)
    assert_type(keyless, sealgate.Verdict)
    file = await sealgate.verify_blob("app", bundles=[b""], identities=[who], trust_root=root, require=1)
    assert_type(file, sealgate.Verdict)
    assert_type(await sealgate.load_public_key("cosign.pub"), sealgate.PublicKey)
    assert_type(await sealgate.load_signer("cosign.key", password=b"pw"), sealgate.Signer)
    author = await sealgate.load_author("token", signing_config=b"", trusted_root=None)
    assert_type(author, sealgate.Author)
    assert_type(await sealgate.sign("a/b:c", keys=[author]), list[sealgate.Signature])


def right_blocking(key: sealgate.PublicKey) -> None:
    assert_type(blocking.verify("a/b:c", keys=[key], require="any"), sealgate.Verdict)
    root = blocking.load_trust_root("trusted_root.json")
    assert_type(root, sealgate.TrustRoot)
    who = [sealgate.identity(subject_regexp=".*@corp.test", issuer="https://issuer.corp.test")]
    said = blocking.verify_blob_attestation(
        "app", attestations=[b""], predicate_type="custom", identities=who, trust_root=root, require="any"
    )
    assert_type(said, sealgate.Verdict)
    with blocking.Client() as client:
        assert_type(client.verify("a/b:c", keys=[key], require="any"), sealgate.Verdict)
    try:
        blocking.sign("a/b:c", keys=[sealgate.PrivateKey.generate()])
    except sealgate.UnavailableError as error:
        assert_type(error.code, str)
        assert_type(error.hint, str | None)
    except sealgate.errors.ImageNotFoundError:
        pass


async def wrong(key: sealgate.PublicKey, private: sealgate.PrivateKey) -> None:
    await sealgate.verify("a/b:c", keys=[key])  # type: ignore[call-arg]
    await sealgate.verify("a/b:c", identities=["ci@corp.test"], require="any")  # type: ignore[list-item]
    await sealgate.verify("a/b:c", identities=[key], require="any")  # type: ignore[list-item]
    await sealgate.verify("a/b:c", keys=[key], trust_root="root.json", require="any")  # type: ignore[arg-type]
    await sealgate.verify_blob("app", keys=[key], require="any", trust_rot=None)  # type: ignore[call-arg]
    sealgate.identity("ci@corp.test", "https://issuer.corp.test")  # type: ignore[call-arg]
    await sealgate.verify("a/b:c", [key], "any")  # type: ignore[call-arg, arg-type]
    await sealgate.verify("a/b:c", keys=[key], require="most")  # type: ignore[arg-type]
    await sealgate.verify("a/b:c", keys=["cosign.pub"], require="any")  # type: ignore[list-item]
    await sealgate.verify("a/b:c", keys=[private], require="any")  # type: ignore[list-item]
    await sealgate.verify("a/b:c", keys=[key], require="any", annotation={})  # type: ignore[call-arg]
    await sealgate.sign("a/b:c", keys=[key])  # type: ignore[list-item]
    await sealgate.load_author("token", signing_config=b"")  # type: ignore[call-arg]
    await sealgate.sign("a/b:c", keys=[private], formats=["notation"])  # type: ignore[list-item]
    blocking.verify("a/b:c", keys=[key])  # type: ignore[call-arg]
    sealgate.nothing_of_this_name  # type: ignore[attr-defined]  # noqa: B018
