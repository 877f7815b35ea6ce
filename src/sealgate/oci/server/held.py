"""What every handler of the embedded registry works on."""

from __future__ import annotations

from typing import NamedTuple

from sealgate.oci.server.repositories import Repositories
from sealgate.oci.server.uploads import Uploads


class Registry(NamedTuple):
    """The registry as it was started."""

    repositories: Repositories
    uploads: Uploads
    read_only: bool
    referrers_api: bool
    page: int
