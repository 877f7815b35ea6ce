"""The line that copy, save and load rewrite: on a terminal only, and gone at the end."""

import io

from sealgate.artifacts.copy import Copied
from sealgate.artifacts.transfer import Moved, Status
from sealgate.cli.context import Context
from sealgate.cli.transfer import Progress
from sealgate.digest import Digest


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def said(stderr: io.StringIO, *, quiet: bool = False) -> str:
    context = Context(environ={}, stdin=io.StringIO(), stdout=io.StringIO(), stderr=stderr)
    context.quiet = quiet
    progress = Progress(context)
    progress.moving(Status(1, 2, 20_000_000))
    progress.told("Copying \x1b[2J")
    progress.end(Copied("a", "b", Digest.of(b""), 3, Moved(4, 5, 6, 7, 8), ()), "Copied to")
    return stderr.getvalue()


def test_a_terminal_sees_how_far_it_is_and_a_clean_end():
    text = said(Terminal())
    assert "1 of 2 blobs, 20.0 MB" in text
    assert text.index("\r\x1b[KCopying \\x1b[2J\n") > 0
    assert text.endswith("3 attached: 5 blobs (8 B) and 4 manifests moved, 6 blobs mounted\n")


def test_a_file_sees_lines_only():
    text = said(io.StringIO())
    assert "\r" not in text
    assert text.startswith("Copying \\x1b[2J\nCopied to b (sha256:")


def test_quiet_says_nothing():
    assert said(Terminal(), quiet=True) == ""
