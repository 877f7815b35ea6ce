"""Options of the commands that judge by policies, and what they stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _ArgumentGroup

    from sealgate.cli.context import Context
    from sealgate.policy.attestors import Settings
    from sealgate.policy.index import Index
    from sealgate.policy.model import Policies


def add_policy_arguments(parser: ArgumentParser) -> None:
    """Which policies, and what counts beside them."""
    group = parser.add_argument_group("policies")
    group.add_argument(
        "-p", "--policies", action="append", default=[], required=True, metavar="PATH",
        help="a file or directory of policies, with the Secrets and ConfigMaps that they name (repeatable)",
    )  # fmt: skip
    _add_settings(group)
    _add_no_match(group)


def add_setting_arguments(parser: ArgumentParser, *, no_match: bool = False) -> None:
    """What counts beside policies, for commands that have an argument of their own for these."""
    group = parser.add_argument_group("policies")
    _add_settings(group)
    if no_match:
        _add_no_match(group)


def _add_no_match(group: _ArgumentGroup) -> None:
    group.add_argument(
        "--no-match", choices=("allow", "warn", "deny"),
        help="what becomes of an image that no policy is about (each dialect's own default)",
    )  # fmt: skip


def _add_settings(group: _ArgumentGroup) -> None:
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
        help="where policies and exceptions of the whole cluster have their place and their Secrets (kyverno)",
    )  # fmt: skip


async def settings_of(arguments: Namespace, context: Context, *, trusted_root: str | None = None) -> Settings:
    """What the operator says. The trust root is the file's, else what the environment or `sealgate initialize` left."""
    from sealgate.cli.trust import root_of
    from sealgate.cli.verify import deny_list
    from sealgate.policy.attestors import Settings
    from sealgate.truststore import environment

    root = await root_of(trusted_root or arguments.trusted_root, context, optional=True)
    return Settings(root, arguments.tlog, deny_list(arguments.deny), environment.folder(context.environ))


def policies_of(arguments: Namespace, settings: Settings) -> Policies:
    """The policies, read."""
    from sealgate.gate import policies

    return policies.load(arguments.policies, settings, home=arguments.policy_namespace, no_match=arguments.no_match)


def stance(settings: Settings) -> str:
    """What is asked of transparency logs."""
    root = settings.root
    logs = len(root.logs) if root is not None else 0
    if settings.tlog == "ignore":
        return "log entries are never asked for (--tlog ignore)"
    if settings.tlog == "require":
        return "log entries are always asked for (--tlog require)"
    return (
        f"log entries are asked for ({logs} logs are believed in)"
        if logs
        else "no log is believed in, so none is asked for but where a policy brings its own"
    )


def index_of(arguments: Namespace, context: Context, settings: Settings) -> Index:
    """The policies, ready to judge by. What weakens them is said once, and what is asked of transparency logs."""
    from sealgate.policy.index import Index
    from sealgate.policy.notes import QUIET

    found = policies_of(arguments, settings)
    index = Index(found)
    context.err(f"transparency log: {stance(settings)}")
    told = sum(note.code not in QUIET for note in found.notes)
    if context.verbose:
        for note in found.notes:
            context.err(f"note: {note.where}: {note.message}  {note.code}")
    elif told:
        many = "s" if told > 1 else ""
        context.err(f"note: {told} remark{many} on the policies; `sealgate policy lint` shows them")
    return index
