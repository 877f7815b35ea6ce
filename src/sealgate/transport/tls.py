"""TLS: whom a client believes, and what a failed greeting means."""

from __future__ import annotations

import socket
import ssl

from sealgate.errors import DeadlineError, KeyNotFoundError, TlsError
from sealgate.transport import greeting
from sealgate.transport.message import Request, Tls, Url

_NOT_TLS = frozenset(
    {
        "WRONG_VERSION_NUMBER",
        "HTTP_REQUEST",
        "HTTPS_PROXY_REQUEST",
        "PACKET_LENGTH_TOO_LONG",
        "RECORD_LAYER_FAILURE",
        "UNKNOWN_PROTOCOL",
        "UNEXPECTED_EOF_WHILE_READING",
    }
)
"""OpenSSL's reasons for an answer that is no TLS record."""


class UntrustedError(Exception):
    """The server speaks TLS, and its certificate is not believed. Its cause says why. Never leaves the transport."""


def new_context(tls: Tls) -> ssl.SSLContext:
    """TLS 1.2 or later, trusting the given authorities only, or the system's when none are given.

    Raises `KeyNotFoundError` for a file that does not exist, `TlsError` for one that cannot be used.
    """
    name = tls.server_name
    if name is not None and not all(0 < len(label) < 64 and label.isascii() for label in name.split(".")):
        raise TlsError(f"{ascii(name)} cannot be the name of a TLS server", hint="see --registry-server-name")
    context = new_bare_context()
    try:
        if tls.insecure_skip_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif tls.ca_file is not None:
            context.load_verify_locations(cafile=tls.ca_file)
        else:
            context.load_default_certs()
        if tls.client_cert is not None:
            context.load_cert_chain(tls.client_cert, tls.client_key, password=_no_password)
    except FileNotFoundError as error:
        raise KeyNotFoundError(
            "a certificate or key file for the registry does not exist",
            hint="see --registry-cacert, --registry-client-cert and --registry-client-key",
        ) from error
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise TlsError(f"a certificate or key file for the registry cannot be used: {why}") from error
    return context


def new_bare_context() -> ssl.SSLContext:
    """TLS that believes nobody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def greet(sock: socket.socket, context: ssl.SSLContext, request: Request, seconds: float) -> ssl.SSLSocket:
    """The handshake. Raises `UntrustedError`, `TlsError` (`not_tls` when the peer speaks something else), `DeadlineError`."""
    url = request.url
    try:
        sock.settimeout(seconds)
        return context.wrap_socket(sock, server_hostname=request.tls.server_name or url.host)
    except ssl.SSLCertVerificationError as error:
        raise UntrustedError from error
    except TimeoutError as error:
        raise DeadlineError(f"{url.authority} did not finish the TLS handshake in time") from error
    except OSError as error:
        raise failed(url, error) from error
    except ValueError as error:
        raise TlsError(f"{url.host} cannot be the name of a TLS server") from error


def untrusted(url: Url, error: BaseException | None) -> TlsError:
    """The certificate was not believed."""
    why = str(getattr(error, "verify_message", "") or "unknown reason")
    hint = "--registry-cacert FILE trusts your own authority"
    if "mismatch" in why.lower():
        hint = "--registry-server-name NAME expects another name"
    elif "expired" in why or "not yet valid" in why:
        hint = "the registry needs a new certificate, or this machine's clock is wrong"
    return TlsError(f"the certificate of {url.authority} is not trusted: {why}", hint=hint)


def failed(url: Url, error: OSError) -> TlsError:
    """The handshake failed before there was a certificate to judge."""
    why = getattr(error, "reason", None) or error.strerror or "the connection ended"
    if not isinstance(error, ssl.SSLError) or error.reason in _NOT_TLS:
        return greeting.not_tls(url, why)
    return TlsError(f"the TLS handshake with {url.authority} failed ({why})")


def _no_password() -> str:
    raise ValueError("the client key is encrypted")
