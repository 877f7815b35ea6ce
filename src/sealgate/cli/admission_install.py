"""`sealgate admission install`, `uninstall` and `image`: the webhook's objects in a cluster, and the image that they run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sealgate.cli.options import add_flag
from sealgate.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from sealgate.admission.installation.manifests import Options
    from sealgate.admission.installation.mounts import Files
    from sealgate.cli.context import Context
    from sealgate.kubernetes.client import Cluster


_MOST_SECONDS = 10**9


def add_arguments(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The three commands and their options."""
    install = commands.add_parser(
        "install",
        description="Print the objects that the webhook needs in a cluster, for `kubectl apply -f -`; with --apply, put them "
        "there, and register the webhook when its replicas are ready.",
        help="print or apply what the webhook needs in a cluster",
    )
    uninstall = commands.add_parser(
        "uninstall",
        description="Remove the webhook from a cluster: its registration first, so that nothing waits for a webhook that is gone.",
        help="remove the webhook from a cluster",
    )
    image = commands.add_parser(
        "image",
        description="Write Sealgate's own image into an OCI layout, without Docker, and print its digest. The same files give the "
        "same digest. `sealgate load` puts it into a registry.",
        help="write Sealgate's own image",
    )
    image.add_argument("layout", metavar="DIR", help="the layout's directory: new, or empty")
    image.add_argument("--tag", default="latest", metavar="TAG", help="what it is called in the layout (latest)")
    install.add_argument(
        "--image", metavar="IMAGE", help="Sealgate's own image, by digest: NAME@sha256:…; needed, but for --definitions"
    )
    add_flag(
        install,
        "--definitions",
        help="only the definitions of Sealgate's own policies, so that policies can be there before the webhook is",
    )
    for each in (install, uninstall):
        each.add_argument("--install-namespace", default="sealgate", metavar="NAME", help="where it lives (sealgate)")
        each.add_argument(
            "--allow-namespace", action="append", default=[], metavar="NAME",
            help="a further namespace whose Secrets and ConfigMaps policies of the whole cluster may name: with a Role there "
            "to read them (repeatable)",
        )  # fmt: skip
        add_cluster_arguments(each)
    install.add_argument("--replicas", type=int, default=3, metavar="N", help="how many replicas: at least 2 (3)")
    install.add_argument(
        "--exempt-namespace", action="append", default=[], metavar="NAME",
        help="a namespace whose objects never reach the webhook, by name, such as kube-system (repeatable)",
    )  # fmt: skip
    install.add_argument(
        "--resource", action="append", default=[], metavar="GROUP/RESOURCE",
        help="further objects that the webhook is asked about, such as argoproj.io/rollouts (repeatable); of others it never hears",
    )  # fmt: skip
    install.add_argument(
        "--webhook-timeout", type=int, default=10, metavar="SECONDS", help="how long the API server waits: 2 to 30 (10)"
    )
    serve = install.add_argument_group("what it is started with (see `sealgate admission serve`)")
    serve.add_argument(
        "--mutate", choices=("pods", "all"), help="write digests into Pods alone, or into templates too (all)"
    )
    serve.add_argument(
        "--no-match", choices=("allow", "warn", "deny"),
        help="what becomes of an image that no policy is about (each dialect's own default)",
    )  # fmt: skip
    serve.add_argument(
        "--tlog",
        choices=("auto", "require", "ignore"),
        help="whether policies ask for entries of a transparency log (auto)",
    )
    serve.add_argument(
        "--known-good", type=int, metavar="SECONDS",
        help="while a registry cannot be asked, go on believing what was verified by digest that long ago (0: do not)",
    )  # fmt: skip
    serve.add_argument(
        "--trusted-root", metavar="FILE",
        help="whom to believe where a policy does not bring its own: a trusted root, kept in a ConfigMap",
    )  # fmt: skip
    serve.add_argument(
        "--deny", metavar="FILE",
        help="digests, keys and identities that are refused whatever else holds, kept in a ConfigMap",
    )  # fmt: skip
    serve.add_argument(
        "--client-ca", metavar="FILE",
        help="take reviews from clients alone that show a certificate of these authorities (PEM, kept in a ConfigMap): the API "
        "server must have been given one",
    )  # fmt: skip
    serve.add_argument(
        "--client-name", action="append", default=[], metavar="NAME",
        help="and whose certificate has this common name (repeatable)",
    )  # fmt: skip
    registries = install.add_argument_group("how it asks registries (see `sealgate admission serve`)")
    registries.add_argument(
        "--registry-secret", metavar="NAME",
        help="credentials: a Secret of its namespace, of type kubernetes.io/dockerconfigjson, mounted for --registry-config",
    )  # fmt: skip
    registries.add_argument(
        "--registry-cacert", metavar="FILE",
        help="trust only these certificate authorities of registries (PEM), kept in a ConfigMap",
    )  # fmt: skip
    registries.add_argument(
        "--registry-client-secret", metavar="NAME",
        help="a certificate to show to registries: a Secret of its namespace, of type kubernetes.io/tls, mounted",
    )  # fmt: skip
    registries.add_argument(
        "--registry-server-name", metavar="NAME", help="name expected in the registries' certificates"
    )
    registries.add_argument(
        "--registry-realm", metavar="HOST", action="append", default=[],
        help="host of a token service that may see the credentials (repeatable)",
    )  # fmt: skip
    add_flag(registries, "--allow-http-registry", help="use plain http where a registry does not speak https")
    add_flag(
        registries, "--allow-insecure-registry", help="do not check certificates of registries, and allow plain http"
    )
    add_flag(
        registries, "--allow-local-registries", help="ask registries on the node itself and at link-local addresses too"
    )
    install.add_argument(
        "--ca-bundle",
        metavar="FILE",
        help="the authorities (PEM) of a serving certificate that somebody else writes into the Secret sealgate-tls; without "
        "this and --cert-manager, the webhook makes and renews its own",
    )
    install.add_argument(
        "--cert-manager",
        metavar="NAMESPACE/NAME",
        help="the Certificate of cert-manager that writes the Secret sealgate-tls",
    )
    add_flag(
        install,
        "--pull-secrets",
        help="let it read the pull secrets of all namespaces (RBAC for Secrets and ServiceAccounts)",
    )
    install.add_argument(
        "--registry-credentials", metavar="PROVIDERS", action="append", default=[],
        help="let it ask these clouds for credentials of their registries, as its service account (as of `serve`)",
    )  # fmt: skip
    install.add_argument(
        "--account-annotation", metavar="NAME=VALUE", action="append", default=[],
        help="an annotation of its service account, such as eks.amazonaws.com/role-arn=… (repeatable)",
    )  # fmt: skip
    add_flag(install, "--apply", help="put the objects into the cluster, in place of printing them")


def add_cluster_arguments(parser: argparse.ArgumentParser) -> None:
    """Which cluster."""
    group = parser.add_argument_group("cluster")
    group.add_argument(
        "--kubeconfig",
        metavar="FILE",
        help="where the cluster is (in a pod its own, else KUBECONFIG or ~/.kube/config)",
    )
    group.add_argument("--context", metavar="NAME", help="the context of the kubeconfig (the current one)")
    add_flag(
        group,
        "--insecure-skip-tls-verify",
        help="let the kubeconfig switch the check of the API server's certificate off",
    )


def cluster_of(arguments: argparse.Namespace, context: Context) -> Cluster:
    """The cluster that the options mean."""
    from sealgate.kubernetes import inside, kubeconfig

    if arguments.kubeconfig is None and arguments.context is None and inside.is_inside(context.environ):
        return inside.cluster(context.environ)
    file = arguments.kubeconfig or kubeconfig.path(context.environ)
    return kubeconfig.cluster(
        file, environ=context.environ, context=arguments.context, insecure=arguments.insecure_skip_tls_verify
    )


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Print, apply or remove; or write the image."""
    if arguments.action == "image":
        from sealgate.admission.installation import image

        context.out(image.write(arguments.layout, tag=arguments.tag))
        return 0
    from sealgate.admission.installation import applying
    from sealgate.kubernetes.client import Client

    if arguments.action == "uninstall":
        gone = context.run(
            applying.remove(
                Client(cluster_of(arguments, context)),
                namespace=arguments.install_namespace,
                allowed=arguments.allow_namespace,
            )
        )
        for each in gone:
            context.err(f"removed {each}")
        return 0
    from sealgate.admission.cluster import definitions
    from sealgate.admission.installation import manifests

    if arguments.definitions:
        if not arguments.apply:
            context.out(_yaml(definitions.documents()), end="")
            return 0
        context.run(applying.define(Client(cluster_of(arguments, context)), say=context.err))
        return 0
    options = _options(arguments, context)
    if not arguments.apply:
        context.out(_yaml([*manifests.before(options), *manifests.registration(options)]), end="")
        return 0
    client = Client(cluster_of(arguments, context))
    context.run(applying.install(client, options, say=context.err))
    return 0


def _serve(arguments: argparse.Namespace) -> tuple[str, ...]:
    """The words for `admission serve`."""
    words = (
        ("--mutate", arguments.mutate), ("--no-match", arguments.no_match), ("--tlog", arguments.tlog),
        ("--known-good", arguments.known_good),
    )  # fmt: skip
    if arguments.known_good is not None and not 0 <= arguments.known_good <= _MOST_SECONDS:
        raise UsageError("--known-good is a number of seconds")
    if arguments.client_name and arguments.client_ca is None:
        raise UsageError("--client-name needs the authority of the certificates", hint="--client-ca FILE")
    found = [word for name, value in words if value is not None for word in (name, str(value))]
    repeated = (("--client-name", arguments.client_name), ("--registry-realm", arguments.registry_realm))
    found += [f"{name}={value}" for name, values in repeated for value in values]
    if arguments.registry_server_name is not None:
        found.append(f"--registry-server-name={arguments.registry_server_name}")
    for flag in ("allow_http_registry", "allow_insecure_registry", "allow_local_registries"):
        if getattr(arguments, flag):
            found.append(f"--{flag.replace('_', '-')}")
    return tuple(found)


def _files(arguments: argparse.Namespace, context: Context) -> Files:
    from sealgate.admission.installation.mounts import Files

    return Files(
        trusted_root=_file("--trusted-root", arguments.trusted_root, context), deny=_file("--deny", arguments.deny, context),
        registry_ca=_file("--registry-cacert", arguments.registry_cacert, context),
        client_ca=_file("--client-ca", arguments.client_ca, context),
        registry_secret=arguments.registry_secret, registry_client_secret=arguments.registry_client_secret,
    )  # fmt: skip


def _file(option: str, path: str | None, context: Context) -> bytes:
    from sealgate import limits
    from sealgate.cli.gating import read_file

    if path is None:
        return b""
    found = read_file(path, context, limit=limits.CONFIG_FILE_BYTES)
    if not found:
        raise UsageError(f"{option} is empty")
    return found


def _options(arguments: argparse.Namespace, context: Context) -> Options:
    from sealgate import limits
    from sealgate.admission.installation.manifests import Options
    from sealgate.cli.gating import read_file
    from sealgate.oci.exchange import providers

    if arguments.image is None:
        raise UsageError("--image is missing", hint="`sealgate admission image` makes it; NAME@sha256:…")
    bundle = read_file(arguments.ca_bundle, context, limit=limits.CONFIG_FILE_BYTES) if arguments.ca_bundle else b""
    if arguments.ca_bundle and not bundle:
        raise UsageError("--ca-bundle holds no certificate in PEM")
    if bundle and arguments.cert_manager:
        raise UsageError("--ca-bundle and --cert-manager exclude each other")
    return Options(
        serve=_serve(arguments), files=_files(arguments, context), allowed=tuple(arguments.allow_namespace),
        image=arguments.image, namespace=arguments.install_namespace, replicas=arguments.replicas,
        resources=tuple(arguments.resource),
        exempt=tuple(arguments.exempt_namespace), seconds=arguments.webhook_timeout, ca_bundle=bundle,
        cert_manager=arguments.cert_manager, pull_secrets=arguments.pull_secrets,
        providers=tuple(sorted(providers.parse_all(arguments.registry_credentials))),
        annotations=tuple(_annotation(each) for each in arguments.account_annotation),
    )  # fmt: skip


def _annotation(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise UsageError("--account-annotation is no annotation", hint="NAME=VALUE")
    return name, value


def _yaml(documents: list[dict[str, Any]]) -> str:
    import yaml

    return "".join(f"---\n{yaml.safe_dump(each, sort_keys=False)}" for each in documents)
