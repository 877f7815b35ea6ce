"""`sealgate COMMAND …`: finds the command's module, parses, runs, and turns every outcome into an exit code.

Only the module of the command at hand is imported. Whatever goes wrong ends in a non-zero exit code (bypass X01).
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NoReturn

from sealgate.errors import SealgateError, UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Sequence

    from sealgate.cli.context import Context

COMMANDS = {
    # name: (module under sealgate.cli, what `sealgate help` says)
    "sign": ("sign", "Sign images"),
    "verify": ("verify", "Verify the signatures of images"),
    "generate-key-pair": ("generate_key_pair", "Make a key pair"),
    "import-key-pair": ("import_key_pair", "Import a PEM private key"),
    "public-key": ("public_key", "Print the public key of a key"),
    "attest": ("attest", "Sign what is known about images"),
    "verify-attestation": ("verify_attestation", "Verify what was signed about images"),
    "lift": ("lift", "Sign what BuildKit says of the images it built"),
    "sign-blob": ("sign_blob", "Sign a file"),
    "verify-blob": ("verify_blob", "Verify the signature of a file"),
    "attest-blob": ("attest_blob", "Sign what is known about files"),
    "verify-blob-attestation": ("verify_blob_attestation", "Verify what was signed about a file"),
    "bundle": ("bundle", "Make, upgrade and explain bundles"),
    "initialize": ("initialize", "Fetch whom to believe from a TUF repository"),
    "trusted-root": ("trusted_root", "Make and explain trust roots"),
    "signing-config": ("signing_config", "Make and explain signing configurations"),
    "gate": ("gate", "Judge what is to be deployed by policies"),
    "policy": ("policy", "Check, explain and test policies"),
    "admission": ("admission", "Judge what a cluster is about to run: the admission webhook"),
    "scan": ("scan", "Judge what a scanner found in images"),
    "sbom": ("sbom", "Make SBOMs of images, and read attached ones"),
    "tree": ("tree", "List what is attached to an image"),
    "triangulate": ("triangulate", "Print where an image's signatures are"),
    "download": ("download", "Download what is attached to an image"),
    "attach": ("attach", "Attach a signature or an attestation made elsewhere"),
    "generate": ("generate", "Print the payload that would be signed"),
    "copy": ("copy", "Copy an image with everything attached"),
    "save": ("save", "Save an image with everything attached to a layout"),
    "load": ("load", "Load an image with everything attached from a layout"),
    "clean": ("clean", "Delete what is attached to an image"),
    "manifest": ("manifest", "Verify every image of a Kubernetes manifest"),
    "dockerfile": ("dockerfile", "Verify every base image of a Dockerfile"),
    "login": ("login", "Store credentials for a registry"),
    "logout": ("logout", "Forget the credentials of a registry"),
    "registry": ("registry", "Serve a directory as a registry"),
    "demo": ("demo", "Show signing, verifying and a refusal on this machine"),
    "env": ("env", "List the environment variables that are read"),
    "completion": ("completion", "Print a shell completion script"),
    "version": ("version", "Print the version"),
}


def main() -> NoReturn:
    """The console script. Leaves by `os._exit` after flushing: tearing the interpreter down costs 10–30 ms."""
    import gc

    gc.set_threshold(50_000, 20, 20)
    code = 1
    try:
        code = run(sys.argv[1:])
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except OSError:
            code = code or 1
        os._exit(code)


def run(argv: Sequence[str], context: Context | None = None) -> int:
    """Run one command line; returns its exit code. Never raises."""
    from sealgate.cli.context import Context

    if context is None:
        context = Context(environ=os.environ, stdin=sys.stdin, stdout=sys.stdout, stderr=sys.stderr)
    try:
        return _dispatch(list(argv), context)
    except SealgateError as error:
        report(error, context)
        return error.exit_code
    except KeyboardInterrupt:
        context.stderr.write("\nError: interrupted [aborted]\n")
        return 130
    except BrokenPipeError:
        return 1
    except SystemExit as leave:  # 0 only from argparse, after --help; nothing else may claim success
        return 0 if isinstance(leave, _ParserExit) and leave.code == 0 else 1
    except BaseException as error:  # noqa: BLE001 - the last line of defence: no traceback, never exit 0
        if context.environ.get("SEALGATE_TRACEBACK"):
            import traceback

            traceback.print_exc(file=context.stderr)
        context.stderr.write(
            f"Error: something went wrong inside sealgate: {type(error).__name__} [internal-error]\n"
            "hint: this is a fault of sealgate; SEALGATE_TRACEBACK=1 shows where\n"
        )
        return 1


class _ParserExit(SystemExit):
    """argparse ended the command itself."""


def report(error: SealgateError, context: Context) -> None:
    """What happened, its code, and what to do, on stderr."""
    from sealgate.cli.text import printable

    context.stderr.write(f"Error: {printable(error.message, most=2000)} [{error.code}]\n")
    if error.hint:
        context.stderr.write(f"hint: {printable(error.hint, most=1000)}\n")


def parser(name: str) -> ArgumentParser:
    """The parser of command `name`, with the global options; the docs are generated from it."""
    import importlib

    from sealgate.cli.options import CommandParser, add_global_arguments

    module = importlib.import_module(f"sealgate.cli.{COMMANDS[name][0]}")
    found = CommandParser(prog=f"sealgate {name}", description=module.HELP, leave=_ParserExit)
    module.add_arguments(found)
    add_global_arguments(found)
    return found


def _dispatch(argv: list[str], context: Context) -> int:
    if not argv or argv[0] in {"-h", "--help", "help"}:
        if len(argv) > 1 and argv[0] == "help" and argv[1] in COMMANDS:
            parser(argv[1]).print_help(context.stdout)
        else:
            _overview(context)
        return 0 if argv else 2
    leading: list[str] = []
    while argv and argv[0].startswith("-"):  # global options before the command, as cobra takes them
        option = argv.pop(0)
        if option == "--version":
            argv = ["version"]
            break
        leading.append(option)
        if option in {"-t", "--timeout", "--output-file"} and argv:
            leading.append(argv.pop(0))
    name = argv.pop(0) if argv else ""
    if name not in COMMANDS:
        raise UsageError(f"unknown command {ascii(name)}", hint=_suggestion(name))
    import importlib

    arguments = parser(name).parse_args(argv + leading)
    context.quiet = arguments.quiet
    context.verbose = arguments.verbose
    context.seconds = arguments.timeout
    module = importlib.import_module(f"sealgate.cli.{COMMANDS[name][0]}")
    if arguments.output_file is None:
        return int(module.run(arguments, context))
    try:
        file = open(arguments.output_file, "w", encoding="utf-8", newline="\n")  # noqa: SIM115 - closed below
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "the name is not a path"
        raise UsageError(f"{arguments.output_file} cannot be written: {reason}") from error
    with file:
        context.stdout = file
        return int(module.run(arguments, context))


def _suggestion(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, COMMANDS, 1)
    return f"did you mean `sealgate {near[0]}`?" if near else "`sealgate help` lists the commands"


def _overview(context: Context) -> None:
    context.out("Sign container images, prove what is in them, and keep out every image without that proof.\n")
    context.out("Usage: sealgate COMMAND [options]\n")
    for name, (_, text) in COMMANDS.items():
        context.out(f"  {name:<18} {text}")
    context.out("\n`sealgate COMMAND --help` explains a command.")


if __name__ == "__main__":
    main()
