"""Every bound in one place: sizes in bytes, times in seconds, counts.

Reaching a bound is a refusal that names it (`LimitError`), unless what was asked was already met.
"""

# Documents
MANIFEST_BYTES = 4 * 1024 * 1024
"""Manifests and indexes; the OCI distribution specification asks registries for 4 MiB."""
EVIDENCE_BYTES = 16 * 1024 * 1024
"""One attached blob (payload, bundle). `COSIGN_MAX_ATTACHMENT_SIZE` may lower or raise it."""
EVIDENCE_TOTAL_BYTES = 48 * 1024 * 1024
"""All that is attached to one image and fetched to verify it, blobs up to `EVIDENCE_FREE_BYTES` not counted."""
EVIDENCE_FREE_BYTES = 64 * 1024
SMALL_BODY_BYTES = 256 * 1024
"""Token answers, error bodies, tag lists: bodies that are small by nature."""
KEY_FILE_BYTES = 64 * 1024
CONFIG_FILE_BYTES = 1024 * 1024
HELPER_BYTES = 64 * 1024
"""The answer of a credential helper."""
BLOB_BYTES = 64 * 1024 * 1024 * 1024
"""A layer that is copied (streamed to a file, never held in memory)."""
SIGNED_FILE_BYTES = 256 * 1024 * 1024
"""A file that an Ed25519 key signs or verifies: the one kind of key that needs all of it in memory."""

# Keyless
LOG_ENTRIES = 32
"""Log entries that one signature may carry (sigstore-go's bound)."""
TIMESTAMPS = 32
"""As log entries."""
TOKEN_BYTES = 64 * 1024
"""An identity token."""
SERVICE_BODY_BYTES = 1024 * 1024
"""What a certificate authority or a log answers."""
TILE_BYTES = 256 * (2 + 65535)
"""What a log of tiles answers at most: 256 entries, each with its length before it."""
SIGN_IN_SECONDS = 120.0
"""How long somebody may take to sign in with a browser (cosign's)."""
SIGN_IN_REQUESTS = 64
"""What is answered on loopback while one waits for the browser."""
DEVICE_SECONDS = 900.0
"""The longest that an issuer may let somebody take with a code; the command's own time-out is shorter."""
CERTIFICATE_BYTES = 32 * 1024
"""One certificate, DER; those of Fulcio have one to two thousand bytes."""
CHAIN_CERTIFICATES = 16
"""Certificates of one authority."""
BAG_CERTIFICATES = 10
"""Certificates that come along behind the signer's (bypass C12)."""
CHAIN_PATHS = 32
"""Ways from certificates of one authority to its anchor; a plain chain has one a certificate."""
AUTHORITY_CERTIFICATES = 64
"""Certificates in one PEM file of authorities."""
IDENTITY_BYTES = 4096
"""One name in a certificate, or what one extension says."""
SCTS = 16
"""Signed certificate timestamps of one certificate."""
REGEXP_BYTES = 4096
"""One regular expression of somebody else: for identities, in policies."""
REGEXP_MEMORY = 1024 * 1024
"""What RE2 may take for one: its program and its cache."""
LOG_BODY_BYTES = 256 * 1024
"""What a log says it holds of one entry: a signature, a digest, a certificate or a key."""
LOG_SIGNATURE_BYTES = 8 * 1024
"""A signature by a log, or inside an entry."""
CHECKPOINT_BYTES = 64 * 1024
CHECKPOINT_SIGNATURES = 64
"""Lines under a checkpoint; C2SP's witnesses ask readers to take 16 at least."""
MERKLE_PATH = 63
"""Hashes of a proof: a tree has fewer than 2^63 leaves."""
TIMESTAMP_BYTES = 64 * 1024
"""An RFC 3161 response, with the certificates that come along."""
TRUST_ROOT_BYTES = 4 * 1024 * 1024
"""A trust root or a signing configuration."""
TRUST_ROOT_ENTRIES = 256
"""Authorities or logs of one kind in a trust root, services of one kind in a signing configuration."""
TRUST_ROOT_CHAIN = 16
"""Certificates of one authority."""
TRUST_ROOT_TEXT = 2048
"""Characters of a name or an address in a trust root."""
TUF_ROOTS = 128
"""Newer versions of a TUF repository's root that one update goes through."""
TUF_FILES = 192
"""Files that one update fetches, roots among them."""
TUF_ARCHIVE_BYTES = 16 * 1024 * 1024
"""Of a repository in a tar archive, unpacked."""
TUF_ROOT_BYTES = 512 * 1024
TUF_TIMESTAMP_BYTES = 64 * 1024
TUF_METADATA_BYTES = 4 * 1024 * 1024
"""snapshot.json, targets.json and the metadata of delegated roles."""
TUF_DELEGATIONS = 16

# JSON
JSON_DEPTH = 64
JSON_NUMBER_CHARS = 40
JSON_VALUES = 500_000
"""Values of one document, estimated by its commas and brackets: parsed, a value takes far more memory than its text."""

# Workloads
WORKLOAD_BYTES = 16 * 1024 * 1024
"""A Kubernetes manifest or a Dockerfile."""
WORKLOAD_NODES = 1_000_000
"""Parts of a manifest that are looked at; aliases can make a small file endless."""
DOCUMENTS = 10_000

# Scans
SCAN_REPORT_BYTES = 64 * 1024 * 1024
"""A scan report, or a VEX document."""
SCAN_REPORT_VALUES = 2_000_000
SCAN_FINDINGS = 100_000
SCAN_SECONDS = 900.0
"""How long a scanner may take; it may fetch a database first."""
IGNORE_FILE_BYTES = 1024 * 1024
FEED_BYTES = 64 * 1024 * 1024
"""A KEV or EPSS file, unpacked."""

# SBOMs
SBOM_BYTES = 32 * 1024 * 1024
"""One SBOM, with the Statement or envelope around it; of what is attached, what `COSIGN_MAX_ATTACHMENT_SIZE` allows counts too."""
SBOM_SECONDS = 900.0
"""How long an SBOM generator may take for one image."""
SBOM_VALUES = 1_000_000
SBOM_PACKAGES = 200_000
SBOM_DEPTH = 32
"""Components within components."""
SBOM_WAITING_BYTES = 24 * 1024 * 1024
"""SBOMs of several images that are fetched at once, before they are read one at a time."""

# Conditions (policies of users, evaluated in a child process)
CONDITION_BYTES = 1024 * 1024
"""One policy."""
CONDITIONS = 64
"""Policies of one command."""
CONDITION_DOCUMENT_BYTES = 16 * 1024 * 1024
CONDITION_ANSWER_BYTES = 256 * 1024
CONDITION_SECONDS = 30.0
"""What all policies together may take for one Statement."""
CONDITION_CPU_SECONDS = 300.0
"""Processor time of the child, for all Statements."""
CONDITION_MEMORY = 1024 * 1024 * 1024
CONDITION_WATCH_SECONDS = 0.02
"""How often the memory of the child is looked at."""
CONDITION_FILES = 64
CONDITION_FAILURES = 4
"""Evaluations that came to no end (a crash, time, memory), after which no other one is tried."""
CONDITION_COMPILE_SECONDS = 5.0
"""What one text of a policy may take to be compiled, when the policy is loaded."""
CONDITION_LOAD_SECONDS = 20.0
"""What all texts of one load may take; the rest is compiled when an image is judged."""
CONDITION_LOAD_PROGRAMS = 64
"""Texts in CUE that one load compiles: each is a process of `cue`."""
CONDITION_TEXTS = 4096
"""Texts of which it is known whether they can be compiled, so that another load need not."""

# Programs (CEL of policies for admission, evaluated in one child process for all of them)
PROGRAM_SECONDS = 2.0
"""What one question to one policy may take."""
PROGRAM_CPU_SECONDS = 60
"""Processor time of the child; it is replaced when half of it is gone."""
PROGRAM_MEMORY = 256 * 1024 * 1024
PROGRAM_FAILURES = 4
"""Questions to one policy that came to no end, after which it is asked nothing for `PROGRAM_PAUSE_SECONDS`."""
PROGRAM_PAUSE_SECONDS = 60.0
PROGRAM_CHARS = 16 * 1024
"""One expression."""
PROGRAM_EXPRESSIONS = 256
"""Expressions of one policy."""
PROGRAM_QUESTION_BYTES = 8 * 1024 * 1024
PROGRAM_CALLS = 4096
"""Calls of functions about images in one evaluation."""
PROGRAM_PAYLOADS = 16
"""Attestations of one type on one image, each of which must meet the validations."""
PROGRAM_ITEMS = 10_000
"""Elements of a list that a function makes."""
PROGRAM_VALUE_CHARS = 128
"""A quantity, a version or an address."""

# Policies
POLICY_BYTES = 4 * 1024 * 1024
"""One file of policies, or one object of the cluster's (etcd holds 1.5 MiB)."""
POLICY_RULES = 10_000
PATTERN_CHARS = 512
PATTERN_SET_BYTES = 64 * 1024 * 1024
"""Memory for all patterns of image names together (RE2)."""
POLICY_EXPRESSION_CHARS = 4096
POLICY_MAKINGS = 10_000
"""How often one evaluation may ask for entries of a rule's context."""
POLICY_STEPS = 200_000
"""Of one expression: nodes that are visited, and parts of values that are made."""
POLICY_TEXT_CHARS = 1024 * 1024
NAMES = 16_384
"""Names of images that are remembered as they were parsed, and with the patterns that they match."""
POLICY_PARTS = 1024
"""Attestors of one rule."""
POLICY_DEPTH = 8
"""Attestors within attestors."""

# Admission
REVIEW_BYTES = 3 * 1024 * 1024
"""An AdmissionReview; the API server takes no request above 3 MiB itself."""
REVIEW_IMAGES = 2048
"""Images of one object."""
REVIEW_SECONDS = 10.0
"""What a review may take when its request does not say (`?timeout=`): the API server's own default."""
REVIEW_SECONDS_MAX = 30.0
"""The API server's own bound on the time-out of a webhook."""
REVIEW_READ_SECONDS = 5.0
"""How long the body of a review may take to arrive."""
REVIEWS = 4096
"""Reviews that are answered at once."""
WORK_SECONDS = 30.0
"""How long one look at an image goes on, also when those who waited for it have answered: others may ask again."""
WORKS = 4096
"""Looks at images at once."""
MESSAGE_CHARS = 2048
"""The message of one refusal."""
WARNING_CHARS = 256
"""One warning; the API server cuts there."""
WARNINGS = 12
VERDICT_SECONDS = 3600.0
"""The longest that an accepted verdict is believed without asking again."""
CONDITION_VERDICT_SECONDS = 60.0
"""The same where nobody can say when it ends: a condition that does not tell, an authority that cannot be read."""
REFUSAL_SECONDS = 10.0
TAG_SECONDS = 10.0
TAG_RENEWALS = 4
"""Tags that are looked up again at once, before what they meant is over."""
VERDICTS = 50_000
"""Verdicts that are kept, and tags."""
VERDICT_BYTES = 128 * 1024 * 1024
"""What kept verdicts may take, about; attestations are kept with what they say."""
DESCRIPTIONS = 10_000
"""Manifests, with configurations, that are kept for policies which look at them."""
DESCRIPTION_BYTES = 16 * 1024 * 1024
"""What they may take."""
TOKENS = 512
"""Authorizations kept of one registry."""
HOSTS = 256
"""Registries that metrics name, and that are remembered."""
LOG_LINES = 10_000
"""Lines of the log that wait to be written; what comes beyond is counted, not kept."""

# The Kubernetes API
CLUSTER_OBJECT_BYTES = 4 * 1024 * 1024
"""One object; etcd holds 1.5 MiB of each."""
CLUSTER_LIST_BYTES = 64 * 1024 * 1024
"""One page of a list."""
CLUSTER_PAGE = 200
"""Objects of one page."""
CLUSTER_PAGES = 200
CLUSTER_OBJECTS = 20_000
"""Objects of one kind that are remembered."""
CLUSTER_VALUES = 2_000_000
STALE_SECONDS = 60.0
"""After which what cannot be watched any more is reported: what is in force of it may be old."""
WATCH_SECONDS = 20
"""How long one watch goes on: less than `READ_SECONDS`, since nothing may come meanwhile."""
WATCH_BYTES = 256 * 1024 * 1024
KUBECONFIG_BYTES = 1024 * 1024
EXEC_SECONDS = 30.0
"""How long a credential plugin of a kubeconfig may take."""
CLUSTER_TOKEN_BYTES = 64 * 1024
REPORTS = 32
"""Conditions and Events that are written at a time."""
PULL_SECRETS = 32
"""Pull secrets of one pod and its service account."""
POLICY_REFERENCES = 2000
"""Secrets and ConfigMaps that policies of a cluster refer to."""

# Counts
ATTACHMENTS = 512
"""Signatures and attestations looked at on one image."""
INDEX_CHILDREN = 1024
INDEX_DEPTH = 8
"""Indexes in indexes, and attachments of attachments."""
MANIFESTS = 10_000
"""Manifests that one copy moves: an image, its platforms and everything attached to them."""
MANIFEST_LAYERS = 1024
STATEMENT_SUBJECTS = 1024
SUBJECT_DIGESTS = 32
ENVELOPE_SIGNATURES = 32
BUNDLE_ENTRIES = 32
"""Log entries, timestamps or certificates in one bundle; the first two are sigstore-go's bound."""
REFERRER_PAGES = 20
TAG_PAGES = 1000
DENY_ENTRIES = 100_000
REFERENCES = 10_000

# Layouts and archives
LAYOUT_INDEX_BYTES = 32 * 1024 * 1024
LAYOUT_ENTRIES = 100_000
"""Entries of an index.json, files in blobs/, members of an archive."""
LOCK_SECONDS = 30.0
"""How long a writer waits for another one to let go of a layout or archive."""
ARCHIVE_EAGER_BYTES = 16 * 1024 * 1024
"""Members of an archive up to this size are unpacked when it is opened; larger ones (layers) when they are asked for."""
ARCHIVE_RATIO = 200
"""A compressed archive that unpacks to more than this multiple of its size (and more than `ARCHIVE_FREE_BYTES`) is a bomb."""
ARCHIVE_FREE_BYTES = 256 * 1024 * 1024

# The embedded registry
UPLOADS = 1024
"""Uploads that are open at once."""
UPLOAD_SECONDS = 3600.0
"""How long an upload that nobody adds to is kept."""
BODY_SECONDS = 60.0
"""How long the next piece of a request's body may take."""
LISTING_PAGE = 1000
"""Tags, repositories or referrers in one answer; more come by `Link`."""

# The network
REDIRECTS = 5
ATTEMPTS = 4
"""Tries of one request answered by 429 or 5xx, or cut off."""
RETRY_AFTER_SECONDS = 30.0
"""The longest pause that a server may ask for."""
CONNECTIONS_PER_HOST = 16
CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0
TOTAL_SECONDS = 180.0
"""`--timeout`: cosign's default of three minutes for the whole command."""
HEADER_BYTES = 64 * 1024
HEADER_FIELDS = 256
CHUNK_LINE_BYTES = 1024
INTERIM_ANSWERS = 8
"""1xx answers before the answer."""
TOKEN_SECONDS = 60.0
"""What a registry token is believed to live when its answer does not say (distribution token specification)."""
HELPER_SECONDS = 30.0
"""How long a credential helper may think; it may ask a cloud's service."""

# Credentials of registries that clouds give
EXCHANGE_BODY_BYTES = 64 * 1024
"""What a service that gives them answers; also a file that says who asks."""
EXCHANGE_SECONDS = 10.0
"""One request to such a service."""
EXCHANGE_TOTAL_SECONDS = 25.0
"""All questions that lead to one credential, where a server asks for several looks at once."""
METADATA_SECONDS = 2.0
"""One request to a machine's own metadata service: where there is none, nobody refuses the connection."""
EXCHANGED_SECONDS = 12 * 3600.0
"""The longest that credentials are kept; those of ECR live that long."""
EXCHANGE_MARGIN_SECONDS = 120.0
"""So long before they expire they are used no more."""
EXCHANGED_SECONDS_UNSAID = 900.0
"""What they are believed to live when nothing says it."""
EXCHANGES = 256
"""Credentials that are kept."""

# Keys
RSA_BITS_MIN = 2048
RSA_BITS_MAX = 8192
SCRYPT_MEMORY = 256 * 1024 * 1024
PASSWORD_BYTES = 64 * 1024

# What people read
TEXT_CHARS = 300
"""Foreign text (annotations, names, server messages) shown to a person is cut here, after control characters are escaped."""
