"""JSON Web Tokens of the website: app.py checks them, and bots.py makes its own."""

import base64
import binascii
import hashlib
import hmac
import json
import os
import time
from typing import Any

SECRET = os.environ.get("CINEMA_SECRET", "change me").encode()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _signature(signed: str) -> bytes:
    return hmac.new(SECRET, signed.encode(), hashlib.sha256).digest()


def sign(user: str, name: str) -> str:
    """Make a token that is valid for an hour."""
    claims = {"sub": user, "name": name, "exp": int(time.time()) + 3600}
    signed = ".".join(_encode(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    return f"{signed}.{_encode(_signature(signed))}"


def verify(token: str) -> tuple[str, str]:
    """Return the user and the name; raise ValueError if the token is not valid."""
    signed, _, signature = token.rpartition(".")
    try:
        if not hmac.compare_digest(_decode(signature), _signature(signed)):
            raise ValueError("the signature is wrong")
        claims: Any = json.loads(_decode(signed.partition(".")[2]))
    except binascii.Error as error:
        raise ValueError("not a token") from error
    if claims["exp"] <= time.time():
        raise ValueError("the token has expired")
    return claims["sub"], claims["name"]
