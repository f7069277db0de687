"""Where the server listens: the address, what has to stand before other machines may connect, and TLS."""

from __future__ import annotations

import ipaddress
import logging
import signal
import socket
import ssl
from pathlib import Path

from server.errors import SettingsError
from server.serving_settings import TlsSettings
from server.settings import Settings

_log = logging.getLogger(__name__)


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener


def address(listener: socket.socket, tls: ssl.SSLContext | None) -> str:
    """The URL that the server answers at."""
    host, port = listener.getsockname()[:2]
    name = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{name}:{port}"


def exposed(listener: socket.socket) -> bool:
    """Whether other machines can connect."""
    return not ipaddress.ip_address(listener.getsockname()[0]).is_loopback


def refuse_exposure(listener: socket.socket, settings: Settings, *, has_key: bool) -> None:
    """Raises SettingsError when other machines could come in without a key, or could read along, and nobody has said
    by name that they may."""
    if not exposed(listener):
        return
    where = f"{settings.server.host} can be reached from other machines"
    if not has_key and not settings.auth.allow_open:
        raise SettingsError(
            f"{where}, and there is no key: make one with 'kammerton keys create NAME', set auth.key, or let everybody"
            " in with auth.allow_open = true"
        )
    if not settings.tls.certificate and not settings.tls.allow_plaintext:
        raise SettingsError(
            f"{where}, and there is no TLS: set tls.certificate and tls.key, or, behind a proxy that encrypts,"
            " tls.allow_plaintext = true"
        )


def tls_context(settings: TlsSettings) -> ssl.SSLContext | None:
    """What encrypts connections; None when there is no certificate. From now on SIGHUP has its files read again.

    Raises SettingsError when they cannot be used.
    """
    if not settings.certificate:
        if settings.key:
            raise SettingsError("tls.key is set, but tls.certificate is not")
        return None
    context = _fresh_context(settings)

    def renew(*_: object) -> None:
        try:
            # Tried on another one first, which may be left half changed.
            _fresh_context(settings)
            _load(context, settings)
        except SettingsError as error:
            _log.error("the certificate stays as it was", extra={"reason": str(error)})
        else:
            _log.info("certificate read again")

    signal.signal(signal.SIGHUP, renew)
    return context


def _fresh_context(settings: TlsSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, settings)
    return context


def _load(context: ssl.SSLContext, settings: TlsSettings) -> None:
    certificate = Path(settings.certificate).expanduser()
    key = Path(settings.key).expanduser() if settings.key else None
    try:
        # Without a password given, OpenSSL would ask for one at the terminal.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError as error:
        reason = error.reason or "not valid PEM files, or the key is locked by a password"
        raise SettingsError(f"tls.certificate {certificate} with tls.key {key or certificate}: {reason}") from None
    except OSError as error:
        missing = next((path for path in (certificate, key) if path and not path.is_file()), certificate)
        raise SettingsError(f"cannot read the TLS file {missing}: {error.strerror or error}") from None
