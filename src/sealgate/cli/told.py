"""What a document says, as indented lines for a person: `bundle show`, `trusted-root show`, `signing-config show`."""

from __future__ import annotations

from typing import Any

from sealgate.cli.text import printable


def lines(value: dict[str, Any], depth: int = 0) -> list[str]:
    """Names and what they have: texts and numbers on one line, lists and further names below."""
    found = []
    for name, member in value.items():
        label = f"{'  ' * depth}{printable(str(name))}:"
        if isinstance(member, dict):
            found += [label, *lines(member, depth + 1)]
        elif isinstance(member, list):
            found += [label if member else f"{label} none"]
            for entry in member:
                if isinstance(entry, dict):
                    first, *rest = lines(entry, depth + 2) or [""]
                    found += [f"{'  ' * (depth + 1)}- {first.strip()}", *rest]
                else:
                    found.append(f"{'  ' * (depth + 1)}- {printable(str(entry))}")
        else:
            found.append(f"{label} {printable(str(member))}")
    return found
