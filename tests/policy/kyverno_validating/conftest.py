"""The registry and the keys of the other policies of Kyverno."""

from policy.kyverno.conftest import good, other, registry, stranger

__all__ = ["good", "other", "registry", "stranger"]
