"""Sign container images and verify them, interoperably with cosign."""

from sealgate._version import __version__

__all__ = ["__version__"]
