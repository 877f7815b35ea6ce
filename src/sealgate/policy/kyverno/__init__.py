"""Kyverno's policies as `Rule`s and `Exemption`s."""
