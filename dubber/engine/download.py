"""Downloading a file over https, resumable, and never more of it than there should be."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NoReturn
from urllib.parse import urlsplit

from dubber.engine.disk import human_bytes
from dubber.errors import WeightsError

TIMEOUT_S = 60.0
"""So long a server may be silent."""

SCHEMES = ("https",)

_CHUNK_BYTES = 2**18
_AGAIN = "Run the same command again: the download goes on from there."
_BY_HAND = "Download the file by hand, and give it with `--from FILE`."

Told = Callable[[int], None]
"""Is told how many bytes are there."""


def download(
    url: str, part: Path, num_bytes: int, told: Told | None = None, schemes: tuple[str, ...] = SCHEMES
) -> None:
    """Bring a file to its full length, from where it is. What is in it is for the caller to verify.

    Args:
        url: Where it is published.
        part: What is there of it; need not exist.
        num_bytes: Its full length.
        told: Hears of progress.
        schemes: What the address and all it redirects to may begin with.

    Raises:
        WeightsError: The download failed, and `part` has what came; or it is longer than it should be, and
            `part` is gone.
        OSError: `part` cannot be written.
    """
    done = part.stat().st_size if part.exists() else 0
    with _response(url, done, schemes) as response:
        # A server that does not know ranges sends all of it again.
        done = done if response.status == http.client.PARTIAL_CONTENT else 0
        with part.open("r+b" if done else "wb") as file:
            file.seek(done)
            for chunk in _chunks(response, url):
                done += len(chunk)
                if done > num_bytes:
                    _refuse_size(url, num_bytes, part)
                file.write(chunk)
                if told is not None:
                    told(done)
    if done < num_bytes:
        raise WeightsError(
            f"The download ended after {human_bytes(done)} of {human_bytes(num_bytes)}.",
            where=url,
            advice=_AGAIN,
        )


def _refuse_size(url: str, num_bytes: int, part: Path) -> NoReturn:
    part.unlink()
    raise WeightsError(
        f"The download is longer than the {num_bytes} bytes it should have; nothing was kept.",
        where=url,
        advice=_BY_HAND,
    )


@contextmanager
def _response(url: str, start: int, schemes: tuple[str, ...]) -> Iterator[http.client.HTTPResponse]:
    """What a server answers when asked for the bytes from `start` on."""
    headers = {"User-Agent": "dubber", **({"Range": f"bytes={start}-"} if start else {})}
    _check_scheme(url, schemes)
    try:
        response = _opener(schemes).open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S)  # noqa: S310
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        _refuse_network(error, url)
    with response:
        begins = str(response.headers.get("Content-Range", f"bytes {start}-"))
        if response.status == http.client.PARTIAL_CONTENT and not begins.startswith(f"bytes {start}-"):
            raise WeightsError("The server sent another part than was asked for.", where=url, advice=_BY_HAND)
        yield response


def _chunks(response: http.client.HTTPResponse, url: str) -> Iterator[bytes]:
    while True:
        try:
            chunk = response.read(_CHUNK_BYTES)
        except (http.client.HTTPException, OSError) as error:
            _refuse_network(error, url)
        if not chunk:
            return
        yield chunk


def _refuse_network(error: Exception, url: str) -> NoReturn:
    raise WeightsError(
        f"The download failed: {getattr(error, 'reason', None) or error}.",
        where=url,
        advice=f"{_AGAIN} Or: {_BY_HAND}",
    ) from error


def _check_scheme(url: str, schemes: tuple[str, ...]) -> None:
    if urlsplit(url).scheme not in schemes:
        raise WeightsError(f"Only {' and '.join(schemes)} is downloaded from.", where=url, advice=_BY_HAND)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but to nowhere less safe."""

    def __init__(self, schemes: tuple[str, ...]) -> None:
        self._schemes = schemes

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        _check_scheme(newurl, self._schemes)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(schemes: tuple[str, ...]) -> urllib.request.OpenerDirector:
    """One that knows these schemes and no other; urllib's own also opens files."""
    opener = urllib.request.OpenerDirector()
    handlers = {"https": urllib.request.HTTPSHandler, "http": urllib.request.HTTPHandler}
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(schemes),
        *(handlers[scheme]() for scheme in schemes),
    ):
        opener.add_handler(handler)
    return opener
