"""Where trust roots come from: files, TUF, the environment."""

from __future__ import annotations

from sealgate.truststore.environment import beside_own as beside_own
from sealgate.truststore.environment import default as default
