"""What a policy said of one Statement."""

from __future__ import annotations

from typing import Literal, NamedTuple

Outcome = Literal["passed", "failed", "error"]
Fault = Literal["invalid", "unsupported", "unchecked"]
"""What is wrong with a text that was compiled; `unchecked`: it could not be."""


class Result(NamedTuple):
    """`failed`: the policy said no. `error`: it could not be evaluated, which is never a yes."""

    policy: str
    outcome: Outcome
    message: str
    """A sentence for people. What is foreign in it is not escaped yet."""


class PolicyError(Exception):
    """A policy that cannot be evaluated, or not on this document; the text says why. Never leaves the cage."""

    fault: Fault = "invalid"


class UnsupportedError(PolicyError):
    """A policy that asks for what its language may have and this engine has not, or may not have: the network."""

    fault: Fault = "unsupported"


class EngineMissingError(PolicyError):
    """What evaluates the language is not installed: nothing is known of the policy."""

    fault: Fault = "unchecked"
