"""How many of several can have one of their own: the arithmetic of thresholds. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def most(choices: Sequence[Collection[object]]) -> int:
    """How many parts can have a signer of their own, where `choices` says for each part whose signature would do: a largest
    matching, by augmenting paths (Berge).
    """
    if len(choices) < 2:
        return sum(map(bool, choices))
    taken: dict[object, int] = {}

    def place(part: int, seen: set[object]) -> bool:
        for signer in choices[part]:
            if signer not in seen:
                seen.add(signer)
                if signer not in taken or place(taken[signer], seen):
                    taken[signer] = part
                    return True
        return False

    return sum(place(part, set()) for part in range(len(choices)))
