"""`sealgate admission serve`: the admission webhook."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from sealgate.cli.options import add_flag
from sealgate.cli.policies import add_policy_arguments, settings_of
from sealgate.cli.registries import add_registry_arguments, session
from sealgate.errors import UsageError

if TYPE_CHECKING:
    from sealgate.admission.cluster.issuing import OwnCertificate
    from sealgate.admission.cluster.standing import ClusterStanding
    from sealgate.admission.registries import Registries
    from sealgate.admission.server import Parts, Settings
    from sealgate.admission.standing import Loaded
    from sealgate.admission.webhook import Own
    from sealgate.cli.context import Context
    from sealgate.oci.host import RegistrySettings

CLUSTER = "cluster:"
"""`--policies cluster:`: those of the cluster."""
HELP = "Judge what a cluster is about to run: a webhook for the Kubernetes API server, by the policies and the engine of `gate`."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`serve` and its options."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="serve | install | uninstall | image")
    from sealgate.cli import admission_install

    admission_install.add_arguments(commands)
    serve = commands.add_parser(
        "serve",
        description="Answer AdmissionReviews at /mutate (writes the digests that were verified) and /validate (verifies, and "
        "wants digests in Pods) until SIGTERM. /healthz, /readyz and /metrics are there too. Policies are read again when "
        "their files change; what cannot be read never takes the place of what could.",
        help="run the webhook",
    )
    serve.add_argument(
        "--listen",
        metavar="HOST:PORT",
        default="127.0.0.1:8443",
        help="where (127.0.0.1:8443); no host is every address, of IPv4 and IPv6; port 0 takes a free one",
    )
    serve.add_argument(
        "--tls-cert", metavar="FILE", help="the serving certificate, with its chain (PEM); read again when it changes"
    )
    serve.add_argument("--tls-key", metavar="FILE", help="its private key (PEM)")
    serve.add_argument(
        "--tls-secret",
        metavar="NAMESPACE/NAME",
        help="make the serving certificate oneself: kept in this Secret, which the replicas share, renewed, and its authority "
        "put into the webhook configurations `sealgate`",
    )
    serve.add_argument(
        "--client-ca",
        metavar="FILE",
        help="take reviews from clients alone that show a certificate of these authorities (PEM)",
    )
    serve.add_argument(
        "--client-name", action="append", default=[], metavar="NAME",
        help="and whose certificate has this common name (repeatable)",
    )  # fmt: skip
    add_flag(serve, "--insecure-http", help="speak plain HTTP, on loopback only")
    admission_install.add_cluster_arguments(serve)
    add_flag(
        serve,
        "--cluster-proxy",
        help="ask the API server of the cluster through HTTPS_PROXY too; without it only registries are asked through proxies",
    )
    serve.add_argument(
        "--allow-namespace", action="append", default=[], metavar="NAME",
        help="with --policies cluster:, a further namespace whose Secrets policies of the whole cluster may name (repeatable)",
    )  # fmt: skip
    serve.add_argument("--port-file", metavar="FILE", help="write the port to FILE when requests are taken")
    serve.add_argument(
        "--mutate", choices=("pods", "all"), default="all",
        help="what /mutate writes digests into: Pods alone (GitOps: templates keep their tags), or templates too (all)",
    )  # fmt: skip
    serve.add_argument(
        "--exempt-namespace", action="append", default=[], metavar="NAME",
        help="admit everything in this namespace without a look, and say so each time (repeatable)",
    )  # fmt: skip
    serve.add_argument(
        "--own-image", action="append", default=[], metavar="NAMESPACE@DIGEST",
        help="the webhook's own image, admitted in its namespace by its digest (repeatable)",
    )  # fmt: skip
    serve.add_argument(
        "--review-timeout", type=_seconds, default=10.0, metavar="SECONDS",
        help="how long the API server waits, where its request does not say (10)",
    )  # fmt: skip
    serve.add_argument(
        "--drain", type=_seconds, default=5.0, metavar="SECONDS",
        help="how long to go on answering after SIGTERM, until nobody sends any more (5)",
    )  # fmt: skip
    cache = serve.add_argument_group("caches")
    cache.add_argument(
        "--cache-accepted", type=_seconds, default=3600.0, metavar="SECONDS",
        help="how long a good verdict is believed at most, without asking the registry again (3600); 0 always asks",
    )  # fmt: skip
    cache.add_argument(
        "--cache-refused", type=_seconds, default=10.0, metavar="SECONDS", help="the same for a refusal (10)"
    )
    cache.add_argument(
        "--cache-tags", type=_seconds, default=10.0, metavar="SECONDS", help="how long a tag is remembered (10)"
    )
    cache.add_argument(
        "--cache-entries", type=_count, default=50_000, metavar="N", help="verdicts that are kept (50000)"
    )
    cache.add_argument(
        "--known-good", type=_seconds, default=0.0, metavar="SECONDS",
        help="while a registry cannot be asked, go on believing what was verified by digest that long ago (0: do not)",
    )  # fmt: skip
    add_policy_arguments(serve)
    add_registry_arguments(serve)
    group = serve.add_argument_group("where registries may be")
    group.add_argument(
        "--registry-config",
        metavar="DIR",
        help="a directory with docker's config.json, for credentials (as DOCKER_CONFIG)",
    )
    add_flag(
        group,
        "--pull-secrets",
        help="ask for the images of a pod with the pull secrets of its own namespace: the pod's and its service account's",
    )
    add_flag(group, "--allow-local-registries", help="ask registries on this machine too; link-local ones never")


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Serve, install or uninstall."""
    if arguments.action == "serve":
        return _serve(arguments, context)
    from sealgate.cli import admission_install

    return admission_install.run(arguments, context)


def _serve(arguments: argparse.Namespace, context: Context) -> int:
    """Serve until a signal comes. Says on stderr where, and what is asked for; the log goes to stdout."""
    from sealgate.admission import server

    settings, parts = prepared(arguments, context)

    def started(address: str) -> None:
        import gc

        from sealgate.cli.registry import write_port

        if arguments.port_file is not None:
            write_port(arguments.port_file, address.rpartition(":")[2])
        scheme = "http" if settings.insecure_http else "https"
        rules = len(parts.standing.force.catalogue.policies.rules)
        context.err(
            f"admission: {rules} rules are in force; reviews are taken at {scheme}://{address} (Ctrl-C stops it)"
        )
        context.err(f"admission: {settings.stance}")
        if parts.proxies is not None:
            context.err(f"admission: {parts.proxies.describe()}")
        context.stderr.flush()
        parts.journal.say("started", address=address, rules=rules, transparency_log=settings.stance)
        gc.collect()
        gc.freeze()  # modules and policies stay: a full collection that walks over them stops every review for some 40 ms

    try:
        server.serve(settings, parts, started=started)
    finally:
        parts.journal.close()
    context.err("admission: stopped")
    return 0


def prepared(arguments: argparse.Namespace, context: Context) -> tuple[Settings, Parts]:
    """What the options stand for. Reads policies, trust root and certificates; raises what that raises."""
    from sealgate import limits
    from sealgate.admission import server
    from sealgate.admission.cache import Cache
    from sealgate.admission.cache import Settings as CacheSettings
    from sealgate.admission.journal import Journal
    from sealgate.admission.metrics import Metrics
    from sealgate.admission.standing import Standing
    from sealgate.admission.webhook import Settings as WebhookSettings

    if arguments.client_name and arguments.client_ca is None:
        raise UsageError("--client-name needs the authority of the certificates", hint="--client-ca FILE")
    if arguments.insecure_http and (arguments.tls_cert or arguments.tls_key or arguments.client_ca):
        raise UsageError("--insecure-http and certificates exclude each other")
    if arguments.tls_secret and (arguments.insecure_http or arguments.tls_cert or arguments.tls_key):
        raise UsageError("--tls-secret stands in place of --tls-cert, --tls-key and --insecure-http")
    if not 0 < arguments.review_timeout <= limits.REVIEW_SECONDS_MAX:
        raise UsageError(f"--review-timeout is more than 0 and at most {limits.REVIEW_SECONDS_MAX:g}")
    if arguments.allow_namespace and CLUSTER not in arguments.policies:
        raise UsageError(
            "--allow-namespace is for policies of the cluster",
            hint=f"--policies {CLUSTER}; files name their own Secrets",
        )
    if any(not name for name in arguments.exempt_namespace):
        raise UsageError("--exempt-namespace needs a name")
    watched = [*arguments.policies, *(each for each in (arguments.trusted_root, arguments.deny) if each)]
    stance: list[str] = []
    standing: Standing | ClusterStanding
    if CLUSTER in arguments.policies:
        standing = _of_cluster(arguments, context, stance)
    else:
        standing = Standing(watched, lambda: _load(arguments, context, stance))
    cache = CacheSettings(
        accepted_seconds=arguments.cache_accepted, refused_seconds=arguments.cache_refused,
        tag_seconds=arguments.cache_tags, known_good_seconds=arguments.known_good, entries=arguments.cache_entries,
    )  # fmt: skip
    webhook = WebhookSettings(
        mutate=arguments.mutate,
        exempt=frozenset(arguments.exempt_namespace),
        own=tuple(_own(each) for each in arguments.own_image),
    )
    parts = server.Parts(
        standing,
        _registries(arguments, context),
        Cache(cache),
        Metrics(),
        Journal(context.stdout),
        webhook,
        context.proxies(),
        certificate=_own_certificate(arguments, context) if arguments.tls_secret else None,
    )
    settings = server.Settings(
        listen=arguments.listen, tls_cert=arguments.tls_cert, tls_key=arguments.tls_key, client_ca=arguments.client_ca,
        client_names=frozenset(arguments.client_name), insecure_http=arguments.insecure_http,
        seconds=arguments.review_timeout, drain_seconds=arguments.drain, stance=stance[-1] if stance else "",
    )  # fmt: skip
    return settings, parts


def _load(arguments: argparse.Namespace, context: Context, stance: list[str]) -> Loaded:
    """Everything that is in force together: policies, what they refer to, the trust root and the deny-list."""
    from sealgate.admission.standing import Loaded
    from sealgate.gate import policies

    found = context.run(settings_of(arguments, context))
    stance[:] = [_stance(arguments.tlog, has_logs=found.root is not None and bool(found.root.logs))]
    sources = policies.read_all(arguments.policies)
    loaded = policies.of_sources(sources, found, home=arguments.policy_namespace, no_match=arguments.no_match)
    return Loaded(loaded, policies.namespaces(sources))


def _of_cluster(arguments: argparse.Namespace, context: Context, stance: list[str]) -> ClusterStanding:
    """Policies of the cluster, watched."""
    import time

    from sealgate.admission.cluster.policies import ClusterPolicies
    from sealgate.admission.cluster.reporting import Reporter
    from sealgate.admission.cluster.standing import ClusterStanding
    from sealgate.cli.admission_install import cluster_of
    from sealgate.kubernetes.client import Client
    from sealgate.transport.http import HttpClient

    if arguments.policies != [CLUSTER]:
        raise UsageError(f"{CLUSTER} stands alone", hint="policies come from the cluster or from files")
    found = context.run(settings_of(arguments, context))
    stance[:] = [_stance(arguments.tlog, has_logs=found.root is not None and bool(found.root.logs))]
    client = Client(cluster_of(arguments, context), direct=not arguments.cluster_proxy)
    return ClusterStanding(
        lambda changed: ClusterPolicies(
            client, found, home=arguments.policy_namespace, allowed=arguments.allow_namespace, no_match=arguments.no_match,
            changed=changed, reporter=Reporter(client, clock=time.time),
        ),
        sender=HttpClient(proxies=context.proxies()).send, seconds=60.0,
    )  # fmt: skip


def _own_certificate(arguments: argparse.Namespace, context: Context) -> OwnCertificate:
    """A certificate that is kept in a Secret."""
    import time

    from sealgate.admission.cluster.issuing import Issuer, OwnCertificate
    from sealgate.admission.installation import manifests
    from sealgate.cli.admission_install import cluster_of
    from sealgate.kubernetes.client import Client
    from sealgate.transport.http import HttpClient

    namespace, slash, name = arguments.tls_secret.partition("/")
    if not slash or not namespace or not name:
        raise UsageError("--tls-secret names no Secret", hint="NAMESPACE/NAME")
    issuer = Issuer(
        Client(cluster_of(arguments, context), direct=not arguments.cluster_proxy), namespace=namespace, secret=name, registration=manifests.NAME,
        names=(f"{manifests.NAME}.{namespace}.svc",), clock=time.time,
    )  # fmt: skip
    return OwnCertificate(issuer, sender=HttpClient(proxies=context.proxies()).send, seconds=60.0)


def _stance(tlog: str, *, has_logs: bool) -> str:
    """What is asked for beside signatures, in words."""
    if tlog == "ignore":
        return "transparency log: no entry is asked for, whatever policies say (--tlog ignore)"
    if tlog == "require":
        return "transparency log: an entry is asked for, whatever policies say (--tlog require)"
    if has_logs:
        return (
            "transparency log: an entry is asked for, unless a policy ignores it (--tlog auto, the trust root has logs)"
        )
    return (
        "transparency log: no entry is asked for where a policy brings no trust root, since none with logs is configured "
        "(--tlog auto; --trusted-root FILE, or --tlog require)"
    )


def _registries(arguments: argparse.Namespace, context: Context) -> Registries:
    from sealgate.admission.registries import Registries

    settings = _registry_settings(arguments, context)
    if not arguments.pull_secrets:
        return Registries(settings)
    from sealgate.admission.cluster.pullsecrets import Scopes
    from sealgate.cli.admission_install import cluster_of
    from sealgate.kubernetes.client import Client

    client = Client(cluster_of(arguments, context), direct=not arguments.cluster_proxy)
    return Registries(settings, Scopes(client, settings.credentials))


def _registry_settings(arguments: argparse.Namespace, context: Context) -> RegistrySettings:
    settings = session(arguments, context).settings
    if arguments.registry_config is not None:
        import os

        if not os.path.isdir(arguments.registry_config):
            raise UsageError(f"there is no directory {arguments.registry_config}", hint="it holds a config.json")
        from sealgate.oci.credentials import Keychain

        environ = dict(context.environ) | {"DOCKER_CONFIG": arguments.registry_config}
        settings = settings._replace(credentials=Keychain(environ=environ, explicit=None).lookup)
    return settings._replace(addresses="not-link-local" if arguments.allow_local_registries else "not-local")


def _own(text: str) -> Own:
    from sealgate.admission.webhook import Own
    from sealgate.digest import Digest
    from sealgate.errors import DigestInvalidError

    namespace, at, digest = text.partition("@")
    try:
        found = Digest.parse(digest)
    except DigestInvalidError as error:
        raise UsageError(f"--own-image {text[:120]!a}: {error.message}", hint="NAMESPACE@sha256:…") from error
    if not at or not namespace:
        raise UsageError(f"--own-image {text[:120]!a} names no namespace", hint="NAMESPACE@sha256:…")
    return Own(namespace, found)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 10**9:
        raise argparse.ArgumentTypeError(f"{text[:40]!a} is not a number of seconds")
    return value


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:9]) <= 10**7:
        raise argparse.ArgumentTypeError(f"{text[:40]!a} is not a number from 1 to 10000000")
    return int(text[:9])
