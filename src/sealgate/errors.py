"""The error tree: what can go wrong, its stable code, and the exit code of the command line.

    SealgateError                     failure                   1
    ├── UsageError                    usage                     2   the command or call was used wrongly
    │   ├── InvalidReferenceError     reference-invalid         2
    │   ├── ClusterConfigError        cluster-config            2   where the Kubernetes API is cannot be told
    │   └── ClusterNameError          cluster-name              2   no name that an object of a cluster can have
    ├── UnavailableError              unavailable              14   could not ask: never "is not signed"
    │   ├── UnreachableError          registry-unreachable
    │   ├── DeadlineError             timed-out
    │   ├── ThrottledError            registry-throttled            429
    │   ├── UnauthorizedError         registry-unauthorized         401
    │   ├── ForbiddenError            registry-denied               403
    │   ├── ServerFailureError        registry-failed               5xx and answers nobody expects
    │   ├── TlsError                  tls-failed
    │   ├── ProtocolError             protocol-violation            what came is not HTTP as agreed
    │   ├── RealmError                realm-refused                 a token service that must not be asked
    │   ├── RedirectError             redirect-refused
    │   ├── AddressError              address-refused               a public name that leads inward
    │   ├── CredentialsUnavailableError credentials-unavailable     a cloud that was asked for credentials of a registry
    │   │   ├── CredentialsMissingError   credentials-missing           nothing around says who asks
    │   │   └── CredentialsRefusedError   credentials-refused           it answered, and gives none
    │   ├── ScannerError              scanner-failed                no scanner, or it did not come to an end
    │   ├── GeneratorError            generator-failed              no SBOM generator, as above
    │   └── PolicyUndecidedError      policy-undecided              whether a policy is about a workload is not known
    │   ├── ClusterUnavailableError   cluster-unavailable           the Kubernetes API
    │   ├── ClusterDeniedError        cluster-denied                401 and 403 of the Kubernetes API
    │   ├── FulcioUnavailableError    fulcio-unavailable            the authority that issues certificates
    │   ├── LogUnavailableError       log-unavailable               the transparency log
    │   ├── TimestampUnavailableError timestamp-unavailable         the timestamp authority
    │   └── IssuerUnavailableError    issuer-unavailable            who gives identity tokens
    ├── NotFoundError                 not-found                 1
    │   ├── ClusterMissingError       cluster-missing               the cluster has no such object
    │   └── ImageNotFoundError        image-not-found          11
    ├── ContentError                  content-invalid           1   bytes from outside that cannot be believed
    │   ├── DigestMismatchError       digest-mismatch
    │   ├── DigestInvalidError        digest-invalid
    │   ├── JsonInvalidError          json-invalid
    │   ├── JsonAmbiguousError        json-ambiguous                duplicate or case-folded keys, NaN
    │   ├── ManifestInvalidError      manifest-invalid
    │   ├── ManifestAmbiguousError    manifest-ambiguous            manifest and index at once
    │   ├── ManifestUnsupportedError  manifest-unsupported          schema 1, unknown types
    │   ├── PayloadInvalidError       payload-invalid
    │   │   └── PayloadTypeError      payload-type-mismatch         signed, but not as a container image
    │   ├── EnvelopeInvalidError      envelope-invalid
    │   ├── BundleInvalidError        bundle-invalid
    │   ├── StatementInvalidError     statement-invalid
    │   ├── LayoutInvalidError        layout-invalid
    │   ├── WorkloadInvalidError      workload-invalid              a Kubernetes manifest or Dockerfile
    │   ├── SbomInvalidError          sbom-invalid                  an SBOM that cannot be believed, or read here
    │   ├── ReportInvalidError        report-invalid           16   a scan report that cannot be believed
    │   │   ├── ReportUnsupportedError    report-unsupported            not a scan report, or of a format not read here
    │   │   ├── ReportEmptyError          report-empty                  nothing shows that the scanner looked
    │   │   ├── ReportUnboundError        report-unbound                does not say which image it is about
    │   │   ├── ReportMismatchError       report-other-image            it is about another image
    │   │   └── ReportStaleError          report-stale                  too old, or does not say how old
    │   ├── IgnoreFileError           ignore-file-invalid       2   the file of findings that are accepted
    │   ├── VexInvalidError           vex-invalid               2   OpenVEX, CycloneDX VEX or CSAF
    │   ├── FeedInvalidError          feed-invalid              2   a KEV or EPSS file
    │   ├── PolicyInvalidError        policy-invalid            2   a policy that is not of its grammar
    │   │   └── PolicyUnsupportedError    policy-unsupported            it asks for what is not evaluated here
    │   ├── TrustRootInvalidError     trust-root-invalid       15   a trusted_root.json that cannot be believed, or read here
    │   ├── SigningConfigInvalidError signing-config-invalid   15   a signing_config.json, as above
    │   ├── TrustUpdateError          trust-update-invalid     15   what a TUF repository served does not verify
    │   │   └── TrustUpdateExpiredError   trust-update-expired      it did, once
    │   ├── PullSecretError           pull-secret-invalid       1   a Secret with credentials that cannot be read
    │   │   └── PullSecretMissingError    pull-secret-missing           a policy names it, and it is not there
    │   ├── ClusterAnswerError        cluster-answer-invalid    1   the Kubernetes API answers something else
    │   └── LimitError                limit-exceeded
    ├── KeyMaterialError              key-invalid              15   missing, malformed or expired trust material
    │   ├── KeyNotFoundError          key-not-found
    │   ├── KeyMalformedError         key-malformed
    │   ├── KeyIsPrivateError         key-is-private
    │   ├── KeyUnsupportedError       key-unsupported
    │   ├── KeyExistsError            key-exists
    │   ├── PasswordError             key-password
    │   ├── TrustRootMissingError     trust-root-missing            nobody said whom to believe
    │   ├── NoServiceError            service-missing               a signing configuration names none to use now
    │   └── IdentityTokenError        token-invalid
    │       ├── TokenMissingError         token-missing                 there is none, and no way to get one
    │       ├── TokenExpiredError         token-expired                 or not valid yet
    │       └── TokenAudienceError        token-audience                made for somebody else
    ├── SigningError                  signing-failed            1
    │   ├── NotKeptError              entry-not-kept                a shared tag kept losing our entry
    │   ├── FulcioRefusedError        fulcio-refused                it issues no certificate for this identity
    │   ├── FulcioAnswerError         fulcio-answer-invalid         a certificate for another key, or none
    │   ├── LogRefusedError           log-refused
    │   ├── LogAnswerError            log-answer-invalid            an entry about something else, or none
    │   ├── TimestampRefusedError     timestamp-refused
    │   ├── TimestampAnswerError      timestamp-answer-invalid      a timestamp of something else, or none
    │   └── IssuerRefusedError        issuer-refused                nobody was signed in
    ├── ClusterConflictError          cluster-conflict          1   an object has changed, or is there already
    ├── ClusterExpiredError           cluster-expired           1   410: a version that the API no longer knows
    ├── ClusterRefusedError           cluster-refused           1   the Kubernetes API does not take it
    ├── TagExistsError                tag-exists                1   a tag points to something else already
    ├── NoSignatureError              no-signature             10
    ├── NoAttestationError            no-attestation           10
    │   └── NoSbomError               no-sbom                  10
    ├── NoMatchingSignatureError      no-matching-signature    12
    ├── RefusedError                  refused                  16
    │   └── VulnerableError           vulnerabilities-found
    ├── SelfTestError                 self-test-failed          1   the webhook does not answer itself as it must
    └── AbortedError                  aborted                   1   a person said no, or pressed Ctrl-C

Two roots matter to callers: `UnavailableError` (ask again later) and `ContentError` (the data is bad, asking again
does not help). Names end in "Error". Codes are never renamed.
"""

from __future__ import annotations


class SealgateError(Exception):
    """The root. `message` is a sentence of what happened, to what and why; `hint` is what to do about it."""

    code = "failure"
    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class UsageError(SealgateError):
    """The command or call was used wrongly."""

    code = "usage"
    exit_code = 2


class InvalidReferenceError(UsageError):
    """An image reference that the grammar does not accept."""

    code = "reference-invalid"


class UnavailableError(SealgateError):
    """Could not ask. Nothing is known about the image; this is never reported as "is not signed"."""

    code = "unavailable"
    exit_code = 14


class UnreachableError(UnavailableError):
    """No connection: the name does not resolve, nobody listens, the connection broke (`broken`: worth another try)."""

    code = "registry-unreachable"
    broken = False


class DeadlineError(UnavailableError):
    """A time-out of a phase, or of the whole command."""

    code = "timed-out"


class ThrottledError(UnavailableError):
    """429, and it went on after the retries."""

    code = "registry-throttled"


class UnauthorizedError(UnavailableError):
    """401: the registry wants (other) credentials."""

    code = "registry-unauthorized"


class ForbiddenError(UnavailableError):
    """403: the credentials do not allow it."""

    code = "registry-denied"


class ServerFailureError(UnavailableError):
    """5xx after the retries, or a status that has no meaning here."""

    code = "registry-failed"


class TlsError(UnavailableError):
    """The TLS handshake or the server's certificate failed. `not_tls`: the peer does not speak TLS at all."""

    code = "tls-failed"
    not_tls = False


class ProtocolError(UnavailableError):
    """The answer is not HTTP, or not what the distribution specification allows."""

    code = "protocol-violation"


class RealmError(UnavailableError):
    """A token service (realm) that must not be asked, or must not see the credentials."""

    code = "realm-refused"


class RedirectError(UnavailableError):
    """A redirect that loops, downgrades or has no target."""

    code = "redirect-refused"


class AddressError(UnavailableError):
    """A name given by a public server that leads to a private, loopback or link-local address."""

    code = "address-refused"


class CredentialsUnavailableError(UnavailableError):
    """A cloud that was to give credentials of a registry could not be asked, or gave no sound answer."""

    code = "credentials-unavailable"


class CredentialsMissingError(CredentialsUnavailableError):
    """A provider of credentials is asked for, and nothing around says as whom, or what does cannot be used."""

    code = "credentials-missing"


class CredentialsRefusedError(CredentialsUnavailableError):
    """A cloud answered, and gives no credentials of the registry."""

    code = "credentials-refused"


class ScannerError(UnavailableError):
    """No scanner is there, or it failed, took too long or said too much."""

    code = "scanner-failed"


class GeneratorError(UnavailableError):
    """No SBOM generator is there, or it failed, took too long, said too much, or wrote about another image."""

    code = "generator-failed"


class FulcioUnavailableError(UnavailableError):
    """The authority that issues certificates could not be asked, or did not come to an answer."""

    code = "fulcio-unavailable"


class LogUnavailableError(UnavailableError):
    """The transparency log could not be asked, or did not come to an answer."""

    code = "log-unavailable"


class TimestampUnavailableError(UnavailableError):
    """The timestamp authority could not be asked, or did not come to an answer."""

    code = "timestamp-unavailable"


class IssuerUnavailableError(UnavailableError):
    """Who gives identity tokens (an OpenID Connect issuer, the CI around) could not be asked, or gave no sound answer."""

    code = "issuer-unavailable"


class NotFoundError(SealgateError):
    """A thing that was asked for by name does not exist."""

    code = "not-found"


class ImageNotFoundError(NotFoundError):
    """The image (tag, digest or repository) does not exist."""

    code = "image-not-found"
    exit_code = 11


class ContentError(SealgateError):
    """Bytes from outside that cannot be believed. Asking again does not help."""

    code = "content-invalid"


class DigestMismatchError(ContentError):
    """The bytes do not hash to the digest they were asked for by."""

    code = "digest-mismatch"


class DigestInvalidError(ContentError):
    """Not a digest: unknown algorithm, wrong length, upper-case hex."""

    code = "digest-invalid"


class JsonInvalidError(ContentError):
    """Not JSON, or not of the expected shape."""

    code = "json-invalid"


class JsonAmbiguousError(ContentError):
    """JSON that two parsers may read differently: duplicate or case-folded keys, NaN, lone surrogates."""

    code = "json-ambiguous"


class ManifestInvalidError(ContentError):
    """A manifest or index that breaks the image specification."""

    code = "manifest-invalid"


class ManifestAmbiguousError(ContentError):
    """One byte string that is a manifest and an index (CVE-2021-41190)."""

    code = "manifest-ambiguous"


class ManifestUnsupportedError(ContentError):
    """A manifest of a type that is not read here (schema 1 among them)."""

    code = "manifest-unsupported"


class PayloadInvalidError(ContentError):
    """A simple-signing payload that is malformed."""

    code = "payload-invalid"


class PayloadTypeError(PayloadInvalidError):
    """A signed payload of another type than cosign's for container images (cross-protocol reuse)."""

    code = "payload-type-mismatch"


class EnvelopeInvalidError(ContentError):
    """A DSSE envelope that is malformed."""

    code = "envelope-invalid"


class BundleInvalidError(ContentError):
    """A Sigstore bundle that is malformed, contradictory or of an unknown version."""

    code = "bundle-invalid"


class StatementInvalidError(ContentError):
    """An in-toto Statement that is malformed."""

    code = "statement-invalid"


class LayoutInvalidError(ContentError):
    """An OCI layout or archive that is malformed or reaches outside itself."""

    code = "layout-invalid"


class WorkloadInvalidError(ContentError):
    """A Kubernetes manifest or a Dockerfile of which nobody can say for sure which images it uses."""

    code = "workload-invalid"


class SbomInvalidError(ContentError):
    """An SBOM that is malformed, cut off, contradicts itself, or is of a format or version that is not read here."""

    code = "sbom-invalid"


class ReportInvalidError(ContentError):
    """A scan report that is malformed, cut off or contradicts itself. The gate refuses."""

    code = "report-invalid"
    exit_code = 16


class ReportUnsupportedError(ReportInvalidError):
    """Not a scan report, or one of a format or version that is not read here."""

    code = "report-unsupported"


class ReportEmptyError(ReportInvalidError):
    """A report without findings in which nothing shows that the scanner looked."""

    code = "report-empty"


class ReportUnboundError(ReportInvalidError):
    """A report that does not say which image it is about, or no report for a platform of the image."""

    code = "report-unbound"


class ReportMismatchError(ReportInvalidError):
    """A report about another image."""

    code = "report-other-image"


class ReportStaleError(ReportInvalidError):
    """A scan or a vulnerability database that is too old, from the future, or does not say how old it is."""

    code = "report-stale"


class IgnoreFileError(ContentError):
    """An ignore file that is malformed, or an entry without id, reason or expiry date."""

    code = "ignore-file-invalid"
    exit_code = 2


class VexInvalidError(ContentError):
    """A VEX document that is malformed, or a statement without what its status demands."""

    code = "vex-invalid"
    exit_code = 2


class FeedInvalidError(ContentError):
    """A KEV or EPSS file that is malformed or empty."""

    code = "feed-invalid"
    exit_code = 2


class TrustRootInvalidError(ContentError):
    """A trust root that is malformed, contradicts itself, or is of a version that is not read here."""

    code = "trust-root-invalid"
    exit_code = 15


class SigningConfigInvalidError(ContentError):
    """A signing configuration that is malformed, incomplete, or of a version that is not read here."""

    code = "signing-config-invalid"
    exit_code = 15


class TrustUpdateError(ContentError):
    """Metadata or a file of a TUF repository that does not verify, is older than what is known, or is too large."""

    code = "trust-update-invalid"
    exit_code = 15


class TrustUpdateExpiredError(TrustUpdateError):
    """Metadata of a TUF repository that has expired: it may be kept from us that there is a newer one."""

    code = "trust-update-expired"


class LimitError(ContentError):
    """A bound of `sealgate.limits` was reached; the message names it."""

    code = "limit-exceeded"


class ReportLimitError(LimitError):
    """A scan report beyond a bound: nothing of it is judged, so nothing is signed."""

    code = "report-too-large"
    exit_code = 16


class KeyMaterialError(SealgateError):
    """A key is missing, malformed or unusable."""

    code = "key-invalid"
    exit_code = 15


class KeyNotFoundError(KeyMaterialError):
    """The key reference leads nowhere."""

    code = "key-not-found"


class KeyMalformedError(KeyMaterialError):
    """The bytes are not a key of the kind that was expected."""

    code = "key-malformed"


class KeyIsPrivateError(KeyMaterialError):
    """A private key stands where a public one belongs."""

    code = "key-is-private"


class KeyUnsupportedError(KeyMaterialError):
    """A key of an algorithm or size that is not accepted."""

    code = "key-unsupported"


class KeyExistsError(KeyMaterialError):
    """A key file of that name exists, and nobody said that it may be replaced."""

    code = "key-exists"


class PasswordError(KeyMaterialError):
    """The password of a private key is wrong or missing."""

    code = "key-password"


class TrustRootMissingError(KeyMaterialError):
    """Something is to be verified with certificates, logs or timestamps, and nobody said which are believed."""

    code = "trust-root-missing"


class NoServiceError(KeyMaterialError):
    """A signing configuration names no service, or too few, that can be used now."""

    code = "service-missing"


class IdentityTokenError(KeyMaterialError):
    """An identity token that is malformed, or says nothing that one could sign in with."""

    code = "token-invalid"


class TokenMissingError(IdentityTokenError):
    """There is no identity token, and no way to get one."""

    code = "token-missing"


class TokenExpiredError(IdentityTokenError):
    """An identity token that is not valid any more, or not yet."""

    code = "token-expired"


class TokenAudienceError(IdentityTokenError):
    """An identity token that was made for somebody else."""

    code = "token-audience"


class SigningError(SealgateError):
    """A signature could not be made or could not be published."""

    code = "signing-failed"


class NotKeptError(SigningError):
    """A shared tag kept losing the entry that was written; nothing is claimed to be signed."""

    code = "entry-not-kept"


class FulcioRefusedError(SigningError):
    """The authority answered, and issues no certificate."""

    code = "fulcio-refused"


class FulcioAnswerError(SigningError):
    """The authority answered with something else than a certificate for our key and our identity."""

    code = "fulcio-answer-invalid"


class LogRefusedError(SigningError):
    """The transparency log answered, and takes no such entry."""

    code = "log-refused"


class LogAnswerError(SigningError):
    """The transparency log answered with something else than the entry that was asked for."""

    code = "log-answer-invalid"


class TimestampRefusedError(SigningError):
    """The timestamp authority answered, and makes no timestamp."""

    code = "timestamp-refused"


class TimestampAnswerError(SigningError):
    """The timestamp authority answered with something else than a timestamp of our signature."""

    code = "timestamp-answer-invalid"


class IssuerRefusedError(SigningError):
    """Nobody was signed in: the issuer or the person said no, or the time was over."""

    code = "issuer-refused"


class TagExistsError(SealgateError):
    """A tag points to something else already, and nobody said that it may be moved."""

    code = "tag-exists"


class NoSignatureError(SealgateError):
    """No signature is attached (cosign's exit code)."""

    code = "no-signature"
    exit_code = 10


class NoAttestationError(SealgateError):
    """No attestation is attached, or none of the type asked for."""

    code = "no-attestation"
    exit_code = 10


class NoSbomError(NoAttestationError):
    """No SBOM is attached that can be read: nobody knows what is in the image."""

    code = "no-sbom"


class NoMatchingSignatureError(SealgateError):
    """Signatures exist, none satisfies what was asked (cosign's exit code)."""

    code = "no-matching-signature"
    exit_code = 12


class RefusedError(SealgateError):
    """Refused by a deny-list, a policy or the scan gate."""

    code = "refused"
    exit_code = 16


class VulnerableError(RefusedError):
    """The scan gate found vulnerabilities that the image must not have."""

    code = "vulnerabilities-found"


class PolicyInvalidError(ContentError):
    """A policy that is not of its grammar, or contradicts itself. It is not loaded; what was in force stays."""

    code = "policy-invalid"
    exit_code = 2


class PolicyUnsupportedError(PolicyInvalidError):
    """A policy asks for what is not evaluated here: leaving that out would be another policy."""

    code = "policy-unsupported"


class PolicyUndecidedError(UnavailableError):
    """Whether a policy is about a workload is not known: what decides could not be asked for."""

    code = "policy-undecided"


class ReviewInvalidError(ContentError):
    """An AdmissionReview that is not one, contradicts itself, or is about what is not known here."""

    code = "review-invalid"


class SelfTestError(SealgateError):
    """The webhook asked itself what it must know, and the answer was another one, or none: it does not start."""

    code = "self-test-failed"


class ClusterUnavailableError(UnavailableError):
    """The Kubernetes API cannot be asked, or is busy."""

    code = "cluster-unavailable"


class ClusterDeniedError(UnavailableError):
    """The Kubernetes API does not let us ask (401, 403)."""

    code = "cluster-denied"


class ClusterConfigError(UsageError):
    """Where the Kubernetes API is, or how one shows who one is, cannot be told from the configuration."""

    code = "cluster-config"


class ClusterNameError(UsageError):
    """A text that names no object of a cluster."""

    code = "cluster-name"


class ClusterMissingError(NotFoundError):
    """The cluster has no such object, or no such kind of objects."""

    code = "cluster-missing"


class ClusterAnswerError(ContentError):
    """The Kubernetes API answers something that it must not."""

    code = "cluster-answer-invalid"


class ClusterConflictError(SealgateError):
    """An object has changed meanwhile, or is there already, or somebody else has a field (409)."""

    code = "cluster-conflict"


class ClusterExpiredError(SealgateError):
    """The Kubernetes API no longer knows a version (410)."""

    code = "cluster-expired"


class ClusterRefusedError(SealgateError):
    """The Kubernetes API does not take what it was given."""

    code = "cluster-refused"


class PullSecretError(ContentError):
    """A Secret with credentials of registries that cannot be read."""

    code = "pull-secret-invalid"


class PullSecretMissingError(PullSecretError):
    """A Secret with credentials of registries that a policy names and that is not there."""

    code = "pull-secret-missing"


class AbortedError(SealgateError):
    """A person said no, or pressed Ctrl-C."""

    code = "aborted"
