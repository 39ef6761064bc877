"""The page at ``/``: one file without outside requests, for trying the model in a browser.

Its scripts and styles are named by their sha256 in the Content-Security-Policy, so nothing else
runs in it, and it may speak to nobody but the server that it came from. It holds no secret: who has
no token gets the page, and from the page no further.
"""

import base64
import hashlib
import re
from pathlib import Path

from starlette.responses import Response

PATH = Path(__file__).with_name("page.html")


def policy(page: str) -> str:
    """The Content-Security-Policy that lets ``page`` do what it does, and nothing more."""

    def hashes(tag: str) -> str:
        found = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digests = [hashlib.sha256(inside.encode()).digest() for inside in found]
        return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)

    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {hashes('script')}",
            f"style-src {hashes('style')}",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def response() -> Response:
    """The page, with the headers that keep it closed."""
    text = PATH.read_text(encoding="utf-8")
    headers = {
        "Content-Security-Policy": policy(text),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
    return Response(text, headers=headers, media_type="text/html")
