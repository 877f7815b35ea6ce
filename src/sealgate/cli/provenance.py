"""The options that say what a provenance must say, named and meant as slsa-verifier's, and the value they stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from sealgate.verification.provenance import Expected


def add_provenance_arguments(parser: ArgumentParser) -> None:
    """For the commands that verify attestations."""
    group = parser.add_argument_group("SLSA provenance (--type slsaprovenance1 or slsaprovenance02)")
    group.add_argument(
        "--source-uri", metavar="URI", help="the repository that it was built from: github.com/owner/repository"
    )
    group.add_argument("--source-tag", metavar="TAG", help="the tag of that repository")
    group.add_argument(
        "--source-versioned-tag", metavar="VERSION", help="the version that the tag belongs to: v1 takes v1.2.3 as well"
    )
    group.add_argument("--source-branch", metavar="BRANCH", help="the branch of that repository")
    group.add_argument(
        "--builder-id", metavar="ID", help="the builder, with or without @version; says nothing about who signed"
    )
    group.add_argument("--build-type", metavar="URI", help="the build type")


def provenance_of(arguments: Namespace, predicate_type: str) -> Expected | None:
    """What the options expect; None without any. Raises `UsageError`."""
    given = {name: value for name in _NAMES if (value := getattr(arguments, name)) is not None}
    if not given:
        return None
    from sealgate.verification import provenance

    return provenance.expected(predicate_type, **given)


_NAMES = ("source_uri", "source_tag", "source_versioned_tag", "source_branch", "builder_id", "build_type")
