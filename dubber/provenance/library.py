"""The door to c2pa-python, which may be absent, and which is kept off the network."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from dubber.errors import ToolMissingError
from dubber.output import ASSERTION

MIME_TYPES = {
    "mp4": "video/mp4",
    "m4v": "video/x-m4v",
    "mov": "video/quicktime",
    "avi": "video/avi",
    "mkv": "video/x-matroska",
    "webm": "video/webm",
    "ts": "video/mp2t",
}
"""What C2PA calls the containers of `dubber.output`."""

EMBEDDED = ("mp4", "m4v", "mov", "avi")
"""Containers that hold a manifest; of others it lies in a file beside."""

_OFFLINE: dict[str, dict[str, Any]] = {
    "core": {"allowed_network_hosts": []},
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {
        "thumbnail": {"enabled": False},
        "created_assertion_labels": ["c2pa.actions", "c2pa.ingredient", ASSERTION],
    },
}
"""No manifest, no certificate's state and no list of trust is fetched; no picture of a face is put in. The
assertions are the signer's own words, not gathered ones. Source: C2PA specification 2.2, claims."""


def is_installed() -> bool:
    """Whether signatures can be made and read."""
    return find_spec("c2pa") is not None


def c2pa_library() -> Any:
    """The module `c2pa`.

    Raises:
        ToolMissingError: It is not installed, or not for this kind of computer.
    """
    advice = "pip install 'dubber[c2pa]'"
    try:
        import c2pa
    except ImportError as error:
        raise ToolMissingError(
            "Signatures need c2pa-python, which is not installed.", advice=advice
        ) from error
    except (OSError, RuntimeError) as error:  # its native part
        raise ToolMissingError(f"c2pa-python cannot be loaded ({error}).", advice=advice) from error
    return c2pa


def offline_context(anchors_pem: str = "") -> Any:
    """What the library works under, a `c2pa.Context`; a context manager.

    Args:
        anchors_pem: Certificates that are trusted, and so are those they vouch for.

    Raises:
        ToolMissingError: It is not installed.
    """
    c2pa = c2pa_library()
    trust = {"trust": {"user_anchors": anchors_pem}} if anchors_pem else {}
    return c2pa.Context(c2pa.Settings.from_dict({**_OFFLINE, **trust}))
