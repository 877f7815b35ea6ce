"""`sealgate verify`: verify the signatures of images, in whatever format they are, and say why or why not."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from sealgate.cli.options import add_flag
from sealgate.cli.registries import add_registry_arguments, blob_limit, images, parse_annotations
from sealgate.cli.trust import add_trust_arguments, identities_of, refuse_unsupported, trust_of
from sealgate.errors import LimitError, SealgateError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from sealgate.cli.context import Context
    from sealgate.oci.attachments import Attachment
    from sealgate.oci.images import Images
    from sealgate.verification.attestation import Attested
    from sealgate.verification.deny import DenyList
    from sealgate.verification.requirement import Requirement
    from sealgate.verification.signer import Trust
    from sealgate.verification.verdict import Verdict
    from sealgate.verification.verify import Wanted

HELP = """Verify images, by keys or keyless. Both formats of every image are looked at; no service but the registry is contacted.
stdout has what cosign prints there; stderr the verdict for a person. Exit codes: 0 all accepted, 10 no signature attached,
11 no such image, 12 no signature that satisfies, 13 no certificate on it, 14 could not ask, 15 no usable key or trust root, 16
denied."""

OUTPUTS = ("json", "text", "verdict", "human", "sarif", "junit")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "images", nargs="*", metavar="IMAGE", help="registry/repository[:tag][@digest], oci:DIR or oci-archive:FILE"
    )
    add_verify_options(parser)
    parser.add_argument(
        "--signature", metavar="FILE", help="judge this signature (base64, or a file of it) instead of what is attached"
    )
    parser.add_argument("--payload", metavar="FILE", help="what was signed: the payload of --signature")
    add_flag(parser, "--local-image", help="IMAGE is the directory of an OCI layout, as oci:DIR")


def add_verify_options(parser: argparse.ArgumentParser) -> None:
    """Every option of verify that goes with images however they are named (`manifest verify`, `dockerfile verify`)."""
    add_key_arguments(parser)
    parser.add_argument(
        "-a", "--annotations", action="append", default=[], metavar="KEY=VALUE", help="must be signed with the image"
    )
    add_flag(parser, "-r", "--recursive", help="every image of an index must be signed as well")
    parser.add_argument("--platform", metavar="OS/ARCH", help="verify this platform's image of an index")
    add_output_arguments(parser)
    add_flag(
        parser,
        "--check-claims",
        default=True,
        help="=false leaves the annotations unchecked; the digest is always checked",
    )
    add_flag(parser, "--new-bundle-format", default=True, help="=false looks at the legacy format only")
    add_flag(parser, "--experimental-oci11", help="accepted; such signatures are found anyway")
    parser.add_argument("--attachment-tag-prefix", default="", metavar="PREFIX", help="prefix of the .sig tag")
    parser.add_argument(
        "--max-workers", type=int, default=10, metavar="N", help="accepted; requests run at once anyway"
    )
    add_trust_arguments(parser)
    add_registry_arguments(parser)


def add_key_arguments(parser: argparse.ArgumentParser) -> None:
    """Who must have signed."""
    parser.add_argument(
        "--key",
        action="append",
        default=[],
        metavar="KEY",
        help="public key: file, env://VAR or https://… (repeatable)",
    )
    parser.add_argument("--require", metavar="any|all|N", help="with several keys: how many of them must have signed")
    parser.add_argument("--deny", metavar="FILE", help="refuse these digests, keys and identities whatever else holds")
    parser.add_argument(
        "--signature-digest-algorithm", choices=("sha256", "sha384", "sha512"), metavar="HASH",
        help="accept signatures over this hash only",
    )  # fmt: skip


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """How to say it."""
    parser.add_argument(
        "-o", "--output", choices=OUTPUTS, default="json", metavar="FORMAT",
        help="json (cosign's, the default), text (cosign's), verdict, human, sarif or junit",
    )  # fmt: skip


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Verify every image; the exit code is that of the first that was not accepted."""
    if not arguments.images:
        raise UsageError("no image to verify", hint="sealgate verify --key cosign.pub IMAGE")
    return verify_names(
        [f"oci:{name}" if arguments.local_image else name for name in arguments.images], arguments, context
    )


def verify_names(names: list[str], arguments: argparse.Namespace, context: Context) -> int:
    """Verify the images of these names as the options say; the exit code is that of the first that was not accepted."""
    return show(judge_names(names, arguments, context), arguments.output, context)


def judge_names(
    names: list[str], arguments: argparse.Namespace, context: Context, *, attested: Attested | None = None
) -> list[Verdict]:
    """The verdicts on the images of these names; with `attested`, on their attestations."""
    from sealgate import limits

    if len(names) > limits.REFERENCES:
        raise LimitError(f"more than {limits.REFERENCES} images")
    with ExitStack() as closing:
        return context.run(_verify(arguments, context, images(arguments, context, closing), names, attested))


async def _verify(
    arguments: argparse.Namespace, context: Context, opened: Images, names: list[str], attested: Attested | None
) -> list[Verdict]:
    from sealgate.verification import verdict as verdicts
    from sealgate.verification.verify import verify_all

    wanted = (await wanted_of(arguments, context))._replace(attested=attested)
    subjects = []
    failed: dict[int, Verdict] = {}
    for index, name in enumerate(names):
        try:
            subjects.append(await opened.open(name))
        except UsageError:
            raise
        except SealgateError as error:
            failed[index] = verdicts.from_error(name, name, error, wanted.describe())
    judged = iter(await verify_all(subjects, wanted))
    found: list[Verdict] = []
    for index in range(len(names)):
        found += [failed[index]] if index in failed else next(judged)
    return found


async def wanted_of(arguments: argparse.Namespace, context: Context) -> Wanted:
    """What the options ask of every image."""
    from sealgate.verification.verify import Wanted

    requirement, trust = await asked_of(arguments, context)
    return Wanted(
        requirement=requirement,
        deny=deny_list(arguments.deny),
        annotations=parse_annotations(arguments.annotations),
        check_annotations=arguments.check_claims,
        tag_prefix=arguments.attachment_tag_prefix,
        blob_limit=blob_limit(context),
        recursive=getattr(arguments, "recursive", False),
        platform=getattr(arguments, "platform", None),
        bundles=arguments.new_bundle_format,
        hash_name=arguments.signature_digest_algorithm,
        trust=trust,
        detached=_detached(arguments),
    )


def _detached(arguments: argparse.Namespace) -> Attachment | None:
    """`--signature` and `--payload`: a legacy signature that is attached nowhere."""
    signature, payload = getattr(arguments, "signature", None), getattr(arguments, "payload", None)
    if signature is None and payload is None:
        return None
    if signature is None or payload is None:
        raise UsageError("--signature and --payload belong together", hint="`sealgate generate` prints a payload")
    from sealgate import limits
    from sealgate.digest import Digest
    from sealgate.evidence import legacy
    from sealgate.oci import attachments
    from sealgate.oci.descriptor import Descriptor

    content = _read_file(payload, limits.EVIDENCE_BYTES)
    try:
        text = _read_file(signature, limits.SMALL_BODY_BYTES).decode("utf-8", "replace").strip()
    except UsageError:
        text = signature.strip()  # cosign takes the signature itself, too; what is neither is not base64 either
    digest = Digest.of(content)
    layer = Descriptor(legacy.SIMPLE_SIGNING, len(content), digest, ((legacy.SIGNATURE, text),))
    return attachments.Attachment(attachments.SIGNATURES, digest, None, None, 1, layer, content)


def _read_file(path: str, limit: int) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(limit + 1)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path[:200]} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > limit:
        raise LimitError(f"{path} is larger than {limit} bytes")
    return data


async def asked_of(arguments: argparse.Namespace, context: Context) -> tuple[Requirement, Trust | None]:
    """Who must have signed (`--key`, `--certificate-identity`, `--require`), and what is believed in."""
    from sealgate.keys.resolve import load_public_key
    from sealgate.verification import requirement as requirements

    refuse_unsupported(arguments)
    identities = identities_of(arguments, context)
    if not arguments.key and not identities:
        raise UsageError(
            "nothing says who must have signed",
            hint="--key cosign.pub, or --certificate-identity NAME with --certificate-oidc-issuer URL",
        )
    if len(arguments.key) + len(identities) > 1 and arguments.require is None:
        what = f"{len(arguments.key)} keys" if not identities else "a key and an identity"
        raise UsageError(
            f"{what} are given, and not how many of them must have signed",
            hint="--require any, --require all, or --require 2 (cosign would silently take the last key alone)",
        )
    trust = await trust_of(arguments, context, identities)
    parts: list[Requirement] = [
        requirements.SignedBy(await load_public_key(key, environ=context.environ), key) for key in arguments.key
    ]
    return _required([*parts, *identities], arguments.require), trust


def _required(parts: list[Requirement], require: str | None) -> Requirement:
    from sealgate.verification import requirement as requirements

    if require is None or require == "any":
        return requirements.any_of(parts)
    if require == "all":
        return requirements.all_of(parts)
    if not (require.isascii() and require.isdigit() and len(require) < 5):
        raise UsageError("--require is any, all or a number")
    return requirements.at_least(int(require), parts)


def deny_list(path: str | None) -> DenyList:
    """`--deny`."""
    from sealgate import limits
    from sealgate.verification import deny

    if path is None:
        return deny.NOTHING
    try:
        with open(path, "rb") as file:
            data = file.read(limits.DENY_ENTRIES * 400 + 1)
    except OSError as error:
        raise UsageError(f"the deny-list {path} cannot be read: {error.strerror}") from error
    return deny.parse(data, what=path)


def show(
    found: list[Verdict], output: str, context: Context, *, data: Callable[[list[Verdict]], str] | None = None
) -> int:
    """Print the verdicts: data on stdout, people's view on stderr. Returns the exit code.

    `data` is what cosign prints there, unless that is what `cosign verify` does.
    """
    from sealgate.cli import render

    if output == "human":
        context.out(render.people(found, render.style(context.stdout, context.environ), verbose=context.verbose))
    elif output == "verdict":
        context.out(render.documents(found))
    elif output == "sarif":
        context.out(render.sarif(found))
    elif output == "junit":
        context.out(render.junit(found))
    elif data is not None:
        context.out(data(found), end="")
    else:
        context.out(render.cosign(found, text=output == "text"), end="")
    if output != "human":
        context.err(render.people(found, context.style(), verbose=context.verbose))
    return next((verdict.exit_code for verdict in found if not verdict.accepted), 0) if found else 1
