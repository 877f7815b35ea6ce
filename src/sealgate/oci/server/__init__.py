"""An OCI registry over a directory of layouts, with the referrers API: for laptops, tests and air-gapped sites.

`serve` blocks (the command `sealgate registry serve`), `serve_in_thread` runs beside the caller (the demo, tests). Needs
the extra `sealgate[server]`.

Each repository is an OCI layout at `DIR/<repository>/`. Where DIR itself is a layout, that layout is the one repository.
Either way the files are what every other tool reads: nothing of the registry's own is kept but `.uploads/` while it runs.

Source: OCI distribution specification 1.1; headers and statuses it leaves open are those of distribution 2.8.
"""

from __future__ import annotations

from sealgate.oci.server.running import Settings, serve, serve_in_thread

__all__ = ["Settings", "serve", "serve_in_thread"]
