"""Where releases are pulled from. Light: a device waits with this loaded, and little else."""

import urllib.parse

from tinytx.errors import UsageError
from tinytx.wording import printable

SCHEMES = ("https", "http", "file")


def base(address: str) -> str:
    """A folder's address, fit to have names put behind it. Raises :class:`UsageError`."""
    text = address.rstrip("/")
    try:
        parts = urllib.parse.urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise UsageError(f"the address is none: {printable(str(error))}") from error
    if "@" in parts.netloc:
        raise UsageError(
            "an address with a user or a password in it ends up in logs",
            "give the address without them; what is published needs no secret, it is signed",
        )
    if parts.scheme.lower() not in SCHEMES or not text.isprintable() or " " in text:
        raise UsageError(
            f"{printable(address)!r} is no address that can be pulled from",
            "it begins with https://, http:// or file:///",
        )
    if parts.query or parts.fragment or text.endswith(".json"):
        raise UsageError(
            f"{printable(address)!r} is not the address of a folder",
            "give that of the folder which `tinytx publish` wrote; device.toml names the channel",
        )
    local = parts.scheme.lower() == "file"
    if local != (not parts.hostname) or (local and not parts.path.startswith("/")):
        raise UsageError(f"{address!r} names no {'folder' if local else 'server'}")
    return parts.scheme.lower() + text[len(parts.scheme) :]
