"""What a policy said of one Statement."""

from __future__ import annotations

from typing import Literal, NamedTuple

Outcome = Literal["passed", "failed", "error"]


class Result(NamedTuple):
    """`failed`: the policy said no. `error`: it could not be evaluated, which is never a yes."""

    policy: str
    outcome: Outcome
    message: str
    """A sentence for people. What is foreign in it is not escaped yet."""


class PolicyError(Exception):
    """A policy that cannot be evaluated, or not on this document; the text says why. Never leaves the cage."""
