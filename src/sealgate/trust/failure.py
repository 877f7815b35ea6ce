"""What is wrong with a piece of trust evidence, as a value with a stable code; and the list of these codes.

The checks of this room raise `TrustFailure`; `proof` turns each into a finding of the verdict. Codes are never renamed.
"""

from __future__ import annotations

from typing import Literal, NamedTuple


class TrustFailure(Exception):
    """One check did not pass. `code` is a key of `CODES`; the message is a clause, "its certificate …"."""

    def __init__(self, code: str, message: str) -> None:
        if code not in CODES:
            raise LookupError(code)
        super().__init__(message)
        self.code = code
        self.message = message


CODES: dict[str, str | None] = {
    # Certificates: read, path, SCT
    "certificate-missing": "the signature carries no certificate: verify it with its key (--key), or sign keyless",
    "certificate-malformed": "the certificate was altered, or made by no Fulcio; sign again",
    "certificate-untrusted": "no authority of the trust root issued it: is this the right --trusted-root?",
    "certificate-expired": "the certificate was not valid when the signature was made; sign again",
    "certificate-usage": "it is no certificate for signing code",
    "certificate-verified": None,
    "sct-missing": "ask the authority for certificates with embedded SCTs, or --insecure-ignore-sct",
    "sct-invalid": "the certificate was not logged, or was altered; sign again",
    "sct-untrusted": "no CT log of the trust root signed it: is this the right --trusted-root?",
    "sct-verified": None,
    # Identities
    "identity-mismatch": "check --certificate-identity against what the verdict says who signed",
    "issuer-mismatch": "check --certificate-oidc-issuer against what the verdict says",
    "extension-mismatch": "check the --certificate-github-workflow-… options against what the verdict says",
    "identity-malformed": "the certificate names nobody, or several; sign again with one identity",
    "identity-verified": None,
    # Transparency log
    "log-entry-missing": "the signature was never logged: sign it with a log, or --insecure-ignore-tlog",
    "log-entry-malformed": "the log entry was altered; sign again",
    "log-entry-untrusted": "no log of the trust root made it: is this the right --trusted-root?",
    "log-entry-not-bound": "the log entry is about something else; sign again",
    "log-entry-duplicate": "one log entry stands there twice; sign again",
    "log-promise-invalid": "the log's signature on the entry's time does not verify; sign again",
    "log-proof-missing": "the entry comes without proof that it is in the log; sign again",
    "log-proof-invalid": "the proof that the entry is in the log does not hold; sign again",
    "log-checkpoint-invalid": "the log's signed tree head does not verify; sign again",
    "log-time-outside": "the certificate was not valid when the entry was logged; sign again",
    "log-entry-verified": None,
    # Time
    "timestamp-missing": "nothing proves when it was signed: sign with a timestamp authority or a log that promises a time",
    "timestamp-malformed": "the timestamp was altered; sign again",
    "timestamp-untrusted": "no timestamp authority of the trust root made it: is this the right --trusted-root?",
    "timestamp-invalid": "the timestamp does not verify; sign again",
    "timestamp-not-bound": "the timestamp is about another signature; sign again",
    "timestamp-outside": "the certificate was not valid at the timestamp; sign again",
    "timestamp-verified": None,
    # What was not asked for, or taken away
    "sct-not-asked": "the trust root has no CT log, or --insecure-ignore-sct",
    "log-entry-not-asked": "the trust root has no log, or --insecure-ignore-tlog",
}
"""Code to remedy. `None`: nothing to mend. Documented in docs/codes.md."""


class Check(NamedTuple):
    """The outcome of one check; the sentence stands without a subject: "was logged by …"."""

    code: str
    outcome: Literal["passed", "failed", "skipped"]
    message: str
