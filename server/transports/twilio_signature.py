"""X-Twilio-Signature: whether a request comes from Twilio.

Source: Twilio's "Webhooks Security" page. HMAC, base64, over the URL as Twilio called it, followed by the name and
value of each form parameter in the order of their names. SHA-1 with the account's auth token, or SHA-256 with a shared
key that the header X-Twilio-Webhooks-Signature-Settings names.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit, urlunsplit

SIGNATURE = "x-twilio-signature"
SETTINGS = "x-twilio-webhooks-signature-settings"
_PORT = re.compile(r":\d+$")
_PORTS = {"https": "443", "wss": "443", "http": "80", "ws": "80"}


def signature(url: str, parameters: Iterable[tuple[str, str]], secret: str, algorithm: str = "sha1") -> str:
    """What Twilio would write. parameters: of the form, a name may come several times, its equal values count once."""
    signed = url + "".join(name + value for name, value in sorted(set(parameters)))
    return base64.b64encode(hmac.new(secret.encode(), signed.encode(), algorithm).digest()).decode()


@dataclass(frozen=True, slots=True)
class Validator:
    """auth_token: the account's. shared_keys: secrets by id, for the SHA-256 form."""

    auth_token: str
    shared_keys: Mapping[str, str]

    def valid(
        self, url: str, headers: Mapping[str, str], parameters: Collection[tuple[str, str]] = (), body: bytes = b""
    ) -> bool:
        """Whether the request is signed. url: with the scheme, host and path that Twilio was given. headers: names in
        lower case. body: of a request that is no form. Comparisons take the same time for every wrong value."""
        given = headers.get(SIGNATURE, "").encode()
        found = self._secret(headers.get(SETTINGS))
        if not given or found is None or not _same_body(url, body):
            return False
        secret, algorithm = found
        candidates = [signature(form, parameters, secret, algorithm).encode() for form in _forms(url)]
        return any([hmac.compare_digest(candidate, given) for candidate in candidates])  # noqa: C419  all, always

    def _secret(self, settings: str | None) -> tuple[str, str] | None:
        """The secret and the algorithm; None if there are none of that name."""
        if settings is None:
            return self.auth_token, "sha1"
        fields = dict(entry.strip().partition("=")[::2] for entry in settings.split(","))
        secret = self.shared_keys.get(fields.get("key", ""))
        return (secret, "sha256") if secret and fields.get("algorithm", "").upper() == "HMAC_SHA256" else None


def _forms(url: str) -> list[str]:
    """Twilio signs its URL now with the port and now without."""
    parts = urlsplit(url)
    bare = _PORT.sub("", parts.netloc)
    with_port = parts.netloc if bare != parts.netloc else f"{bare}:{_PORTS.get(parts.scheme, '80')}"
    return [urlunsplit(parts._replace(netloc=netloc)) for netloc in (bare, with_port)]


def _same_body(url: str, body: bytes) -> bool:
    """A body that is no form is signed by its hash in the URL."""
    hashes = parse_qs(urlsplit(url).query).get("bodySHA256")
    if not hashes:
        return not body
    return hmac.compare_digest(hashes[-1].encode(), hashlib.sha256(body).hexdigest().encode())
