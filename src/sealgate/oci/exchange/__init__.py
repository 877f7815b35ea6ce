"""Credentials of the registries of clouds, got from the cloud's own services: `providers.exchange` and `cache.Exchanger`."""
