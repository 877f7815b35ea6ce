"""Every environment variable that is read: for `sealgate env` and the documentation.

A variable that is not in this table is not read; a test holds the source to that.
"""

from __future__ import annotations

from typing import NamedTuple


class Variable(NamedTuple):
    """One variable."""

    name: str
    description: str
    """What it does, behind its name: a sentence without a subject."""
    expects: str
    secret: bool = False
    """May hold a secret: shown as ****** unless asked otherwise."""
    also_lower: bool = False
    """Read in lower case too, when the upper-case one is not set."""


VARIABLES = (
    # As cosign has them
    Variable(
        "COSIGN_DOCKER_MEDIA_TYPES", "uses Docker's media types for signatures in the legacy format", "1 (0 by default)"
    ),
    Variable(
        "COSIGN_MAX_ATTACHMENT_SIZE",
        "is the most that is fetched of one attachment",
        "bytes, or a number with a unit such as 128MiB (16MiB by default)",
    ),
    Variable(
        "COSIGN_PASSWORD",
        "is the password of private keys; set and empty is an empty password",
        "a password (asked for by default)",
        secret=True,
    ),
    Variable("COSIGN_REPOSITORY", "keeps signatures in another repository than the image's", "registry/repository"),
    Variable(
        "SOURCE_DATE_EPOCH",
        "is the time that --record-creation-timestamp, custom predicates and SBOMs have",
        "seconds since 1970 (now by default)",
    ),
    # The cluster
    Variable("KUBECONFIG", "is where the cluster is, outside of one", "a file (~/.kube/config by default)"),
    Variable("KUBERNETES_SERVICE_HOST", "is the API server of the cluster that this pod is in", "a host"),
    Variable("KUBERNETES_SERVICE_PORT", "is its port", "a number (443 by default)"),
    # Who signs
    Variable(
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "is what GitHub Actions is asked for an identity token with", "", secret=True
    ),
    Variable("ACTIONS_ID_TOKEN_REQUEST_URL", "is where GitHub Actions is asked for an identity token", "an address"),
    Variable("BROWSER", "is the browser that is opened to sign in", "a program"),
    Variable("BUILDKITE", "says that this is a job of Buildkite", "true"),
    Variable("CIRCLECI", "says that this is a job of CircleCI", "true"),
    Variable("GITHUB_ACTIONS", "says that this is a job of GitHub Actions", "true"),
    Variable("GITLAB_CI", "says that this is a job of GitLab", "true"),
    Variable(
        "GOOGLE_SERVICE_ACCOUNT_NAME", "is the account that Google Cloud gives an identity token of", "an account"
    ),
    Variable("SEALGATE_SPIFFE_JWT_SVID", "is where a JWT-SVID lies, as spiffe-helper writes it", "a file"),
    Variable("SIGSTORE_ID_TOKEN", "is an identity token", "a token", secret=True),
    Variable("SPIFFE_ENDPOINT_SOCKET", "is where the SPIFFE Workload API gives a JWT-SVID", "unix:///… or tcp://…"),
    # Whom to believe
    Variable("SIGSTORE_CT_LOG_PUBLIC_KEY_FILE", "is the key of the CT log that is believed in", "a PEM file"),
    Variable("SIGSTORE_REKOR_PUBLIC_KEY", "is the key of the transparency log that is believed in", "a PEM file"),
    Variable(
        "SIGSTORE_ROOT_FILE",
        "is the certificate authorities that are believed in: roots, and intermediates below them",
        "a PEM file",
    ),
    Variable(
        "SIGSTORE_TSA_CERTIFICATE_FILE",
        "is the timestamp authority that is believed in: who signs first, the root last",
        "a PEM file",
    ),
    Variable(
        "TUF_MIRROR", "is the TUF repository, in place of the one that was initialized", "http(s)://… or file:///…"
    ),
    Variable("TUF_ROOT", "is where TUF repositories are kept", "a directory (~/.sigstore/root by default)"),
    Variable("TUF_ROOT_JSON", "is the root that the TUF repository is verified by", "a root.json file"),
    # Registries and their credentials
    Variable("DOCKER_CONFIG", "is the directory of docker's config.json", "a directory (~/.docker by default)"),
    Variable(
        "HOME", "is where .docker and .sigstore are, unless DOCKER_CONFIG and TUF_ROOT say otherwise", "a directory"
    ),
    Variable(
        "PATH",
        "is where credential helpers (docker-credential-*), scanners, Syft and cue are looked for, in its absolute directories",
        "directories",
    ),
    Variable("REGISTRY_AUTH_FILE", "is podman's file of credentials, asked after docker's", "a file"),
    Variable("XDG_RUNTIME_DIR", "is where podman's containers/auth.json is, without REGISTRY_AUTH_FILE", "a directory"),
    Variable(
        "SEALGATE_REGISTRY_REALMS",
        "names token services that may see credentials, as --registry-realm does",
        "hosts, separated by commas",
    ),
    # Who asks the clouds for credentials of their registries (--registry-credentials)
    Variable("AWS_ACCESS_KEY_ID", "is the access key that Amazon is asked with", "an identifier"),
    Variable("AWS_CONTAINER_AUTHORIZATION_TOKEN", "is shown where a container's key is", "a token", secret=True),
    Variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "is where that token lies (EKS pod identity)", "a file"),
    Variable(
        "AWS_CONTAINER_CREDENTIALS_FULL_URI", "is where a container gets its key (EKS pod identity)", "an address"
    ),
    Variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "is where a container gets its key (ECS)", "a path"),
    Variable("AWS_DEFAULT_REGION", "is where STS is asked, without AWS_REGION", "a region"),
    Variable("AWS_EC2_METADATA_DISABLED", "says that the machine's role is not to be used", "true"),
    Variable("AWS_REGION", "is where STS is asked", "a region (that of the registry by default)"),
    Variable("AWS_ROLE_ARN", "is the role that a service account takes", "a role"),
    Variable("AWS_ROLE_SESSION_NAME", "is how that is called in logs of Amazon's", "a name (sealgate by default)"),
    Variable("AWS_SECRET_ACCESS_KEY", "is the secret of AWS_ACCESS_KEY_ID", "a secret", secret=True),
    Variable("AWS_SESSION_TOKEN", "is the token of a temporary AWS_ACCESS_KEY_ID", "a token", secret=True),
    Variable("AWS_WEB_IDENTITY_TOKEN_FILE", "is the token of a service account that takes AWS_ROLE_ARN", "a file"),
    Variable("AZURE_AUTHORITY_HOST", "is where one signs in to Azure", "one of Microsoft's addresses"),
    Variable("AZURE_CLIENT_ID", "is the identity that Azure is asked as", "an identifier"),
    Variable("AZURE_FEDERATED_TOKEN_FILE", "is the token of a service account of that identity", "a file"),
    Variable("AZURE_TENANT_ID", "is its tenant", "an identifier"),
    Variable("GH_TOKEN", "is the password for ghcr.io, without GITHUB_TOKEN", "a token", secret=True),
    Variable("GITHUB_ACTOR", "is the user name for ghcr.io", "a name"),
    Variable("GITHUB_TOKEN", "is the password for ghcr.io", "a token", secret=True),
    Variable(
        "GOOGLE_APPLICATION_CREDENTIALS",
        "is the key of a service account, or an external account's configuration",
        "a file",
    ),
    # The network
    Variable(
        "HTTPS_PROXY",
        "is the proxy for https, also as https_proxy",
        "http://[user:password@]host:port",
        secret=True,
        also_lower=True,
    ),
    Variable(
        "HTTP_PROXY",
        "is the proxy for http, also as http_proxy",
        "http://[user:password@]host:port",
        secret=True,
        also_lower=True,
    ),
    Variable(
        "NO_PROXY",
        "names hosts that are asked without a proxy, also as no_proxy",
        "hosts, separated by commas",
        also_lower=True,
    ),
    Variable(
        "REQUEST_METHOD", "switches HTTP_PROXY off, since a CGI script would take it from a client", "not to be set"
    ),
    Variable("SSL_CERT_DIR", "is the directory of the certificate authorities that are trusted", "a directory"),
    Variable("SSL_CERT_FILE", "is the file of the certificate authorities that are trusted", "a PEM file"),
    # What is shown
    Variable("NO_COLOR", "switches colours off", "anything but nothing"),
    Variable("SEALGATE_TRACEBACK", "shows where a fault inside sealgate is", "1"),
)
