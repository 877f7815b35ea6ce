"""Options of the commands that judge by policies, and what they stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from sealgate.cli.context import Context
    from sealgate.policy.attestors import Settings
    from sealgate.policy.evaluate import Index
    from sealgate.policy.model import Policies


def add_policy_arguments(parser: ArgumentParser, *, named: bool = True) -> None:
    """Which policies, and what counts beside them. `named`: by an option; else a command has its own argument for them."""
    group = parser.add_argument_group("policies")
    if named:
        group.add_argument(
            "-p", "--policies", action="append", default=[], required=True, metavar="PATH",
            help="a file or directory of policies, with the Secrets and ConfigMaps that they name (repeatable)",
        )  # fmt: skip
    group.add_argument(
        "--no-match", choices=("allow", "warn", "deny"),
        help="what becomes of an image that no policy is about (each dialect's own default)",
    )  # fmt: skip
    group.add_argument(
        "--tlog", choices=("auto", "require", "ignore"), default="auto",
        help="whether policies ask for log entries: where a trust root with logs counts (auto), always, or never",
    )  # fmt: skip
    group.add_argument(
        "--trusted-root", metavar="FILE", help="what is believed in, where a policy does not bring its own"
    )
    group.add_argument(
        "--deny", metavar="FILE", help="digests, keys and identities that are refused whatever else holds"
    )
    group.add_argument(
        "--policy-namespace", default="kyverno", metavar="NAME",
        help="where policies of the whole cluster have their Secrets (kyverno)",
    )  # fmt: skip


async def settings_of(arguments: Namespace, context: Context) -> Settings:
    """What the operator says. The trust root is the file's, else what the environment or `sealgate initialize` left."""
    from sealgate.cli.trust import root_of
    from sealgate.cli.verify import deny_list
    from sealgate.policy.attestors import Settings

    root = await root_of(arguments.trusted_root, context, optional=True)
    return Settings(root, arguments.tlog, deny_list(arguments.deny))


def policies_of(arguments: Namespace, settings: Settings) -> Policies:
    """The policies, read."""
    from sealgate.gate import policies

    return policies.load(arguments.policies, settings, home=arguments.policy_namespace, no_match=arguments.no_match)


def index_of(arguments: Namespace, context: Context, settings: Settings) -> Index:
    """The policies, ready to judge by. What weakens them is said once."""
    from sealgate.policy.evaluate import Index

    found = policies_of(arguments, settings)
    index = Index(found)
    if context.verbose:
        for note in found.notes:
            context.err(f"note: {note.where}: {note.message}  {note.code}")
    elif found.notes:
        many = "s" if len(found.notes) > 1 else ""
        context.err(f"note: {len(found.notes)} remark{many} on the policies; `sealgate policy lint` shows them")
    return index
