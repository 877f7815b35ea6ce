"""Verifies a file of bundles, one after the other, and prints how long that took: `pace.py sealgate|sigstore-python FOLDER`.

Runs by itself, in the environment of whoever it measures. FOLDER has `trusted_root.json` and `bundles.json`, which says who
signed; each file has a bundle of its own, so that nobody has seen a certificate before. Reading a bundle counts, reading the trust root does
not; "processor" is the time of all threads of the process. At the end an altered file must be refused, and so must a stranger's name: who accepts everything is no verifier.
"""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

_WARM = 50
Verify = Callable[[bytes, bytes, str], bool]
"""Whether a file has a good signature by somebody, in a bundle."""


def main() -> int:
    name, folder = sys.argv[1], Path(sys.argv[2])
    whole = json.loads((folder / "bundles.json").read_bytes())
    verify = {"sealgate": _sealgate, "sigstore-python": _sigstore_python}[name](folder, whole["issuer"])
    work = [(each["file"].encode(), each["bundle"].encode()) for each in whole["bundles"]]
    who = whole["identity"]
    for file, bundle in work[:_WARM]:
        verify(file, bundle, who)
    accepted = 0
    began, processor = time.perf_counter(), time.process_time()
    for file, bundle in work[_WARM:]:
        accepted += verify(file, bundle, who)
    found = {"seconds": time.perf_counter() - began, "processor": time.process_time() - processor, "accepted": accepted}
    file, bundle = work[0]
    found["refused"] = [not verify(b"altered", bundle, who), not verify(file, bundle, f"not.{who}")]
    print(json.dumps(found))
    return 0


def _sealgate(folder: Path, issuer: str) -> Verify:
    from sealgate import blocking, identity

    root = blocking.load_trust_root(folder / "trusted_root.json")

    by = functools.cache(lambda who: identity(who, issuer=issuer))

    def verify(file: bytes, bundle: bytes, who: str) -> bool:
        return blocking.verify_blob(
            file, bundles=[bundle], identities=[by(who)], require="any", trust_root=root
        ).accepted

    return verify


def _sigstore_python(folder: Path, issuer: str) -> Verify:
    from sigstore.errors import VerificationError
    from sigstore.models import Bundle, TrustedRoot
    from sigstore.verify import Verifier
    from sigstore.verify.policy import Identity

    verifier = Verifier(trusted_root=TrustedRoot.from_file(str(folder / "trusted_root.json")))

    by = functools.cache(lambda who: Identity(identity=who, issuer=issuer))

    def verify(file: bytes, bundle: bytes, who: str) -> bool:
        try:
            verifier.verify_artifact(file, Bundle.from_json(bundle), by(who))
        except VerificationError:
            return False
        return True

    return verify


if __name__ == "__main__":
    sys.exit(main())
