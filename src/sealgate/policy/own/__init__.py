"""Sealgate's own policies as `Rule`s and `Exemption`s."""
