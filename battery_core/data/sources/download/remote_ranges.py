"""HTTP range requests for parts of a remote file, with retries; the whole file is never fetched by mistake."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version

import requests

from battery_core.errors import DataError

_CHUNK = 1 << 14  # bytes; at most this much is requested again after a cut connection
_BUSY = (408, 429, 500, 502, 503, 504)  # a later try may be answered
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


@dataclass(frozen=True)
class Patience:
    """Set the limits of retries and waits for a busy or unreachable server.

    Args:
        tries: requests for one part, the first included; each goes on where the last was cut.
        first_wait_s: wait before the second try; it doubles from try to try.
        longest_wait_s: a server that asks (Retry-After) for a longer wait is left alone.
        timeout_s: silence on a connection that counts as a cut.
        sleep: how waiting is done.
    """

    tries: int = 5
    first_wait_s: float = 1.0
    longest_wait_s: float = 300.0
    timeout_s: float = 30.0
    sleep: Callable[[float], None] = time.sleep


PATIENT = Patience()


@dataclass
class _ByteRange:
    """Store a byte range of the file and its received bytes; a negative ``first`` counts from the end."""

    first: int
    last: int | None
    content: bytearray = field(default_factory=bytearray)

    def header(self) -> str:
        return f"bytes={self.first}" if self.last is None else f"bytes={self.first + len(self.content)}-{self.last}"

    def missing(self) -> int:
        return 1 if self.last is None else self.last + 1 - self.first - len(self.content)


class RemoteFile:
    """Read one remote file in parts; all parts are of the same version of it.

    Args:
        url: where it is.
        label: its name for people.
        source: begins each message, like ``source 'lgm50t'``.
        advice: ends the message when the server cannot be read: what else to do.
        md5: published md5 of the whole; compared with the one that a server states (Zenodo does, in its ETag).
        patience: how long the server is borne with.
    """

    def __init__(self, url: str, label: str, source: str, advice: str, md5: str = "", patience: Patience = PATIENT):
        self.url, self.label, self.source, self.advice, self.md5, self.patience = (
            url,
            label,
            source,
            advice,
            md5,
            patience,
        )
        self.on_bytes: Callable[[int], None] = lambda _: None
        """Called with the number of bytes each time some arrive."""
        self._version: tuple[int, str] | None = None  # size and ETag
        self._session = requests.Session()
        # Zenodo requires a user agent; compressed responses would have no byte positions
        agent = f"battery-retraining/{version('battery-retraining')}"
        self._session.headers.update({"User-Agent": agent, "Accept-Encoding": "identity"})

    def read(self, first: int, last: int | None = None) -> tuple[int, bytes]:
        """Return bytes ``first`` to ``last``, both included; without ``last``, the file's last ``-first`` bytes.

        Returns:
            The position of the first byte, and the bytes.

        Raises:
            DataError: no network, a server that stays busy, one without range requests, or a file that changed.
        """
        byte_range, trouble, requested_wait_s = _ByteRange(first, last), "", 0.0
        for attempt in range(self.patience.tries):
            if attempt:
                self.patience.sleep(max(requested_wait_s, self.patience.first_wait_s * 2.0 ** (attempt - 1)))
            requested_wait_s = 0.0
            try:
                headers = {"Range": byte_range.header()}
                answer = self._session.get(self.url, headers=headers, stream=True, timeout=self.patience.timeout_s)
                with answer:
                    if answer.status_code in _BUSY:
                        trouble, requested_wait_s = (
                            f"HTTP {answer.status_code} {answer.reason}",
                            self._requested_wait_s(answer),
                        )
                        continue
                    trouble = self._check(answer, byte_range) or self._receive(answer, byte_range)
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as err:
                trouble = type(err).__name__
            if not byte_range.missing():
                return byte_range.first, bytes(byte_range.content)
        raise DataError(
            f"{self.source}: {self.url} cannot be read ({trouble}, {self.patience.tries} tries) - "
            f"check the network and "
            f"try again (files that arrived whole are kept), or {self.advice}"
        )

    def _receive(self, answer: requests.Response, byte_range: _ByteRange) -> str:
        for chunk in answer.iter_content(_CHUNK):
            byte_range.content += chunk[: byte_range.missing()]
            self.on_bytes(len(chunk))
        return "the connection ended early"

    def _check(self, answer: requests.Response, byte_range: _ByteRange) -> str:
        """Check that a response is the requested range; return the reason for a retry, raise where none can help."""
        if answer.status_code == 200:
            size = int(answer.headers.get("Content-Length") or 0)
            whole = f"all {size / 1e9:.3g} GB of it" if size else "the whole file"
            raise DataError(
                f"{self.source}: {self.url} does not answer range requests; it would send {whole} where some megabytes "
                f"are needed, so nothing was downloaded - {self.advice}"
            )
        if answer.status_code != 206:
            status = f"HTTP {answer.status_code} {answer.reason}"
            raise DataError(f"{self.source}: {self.url} answers {status} - check the address, or {self.advice}")
        match = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if match is None:
            return f"Content-Range '{answer.headers.get('Content-Range')}', expected 'bytes FIRST-LAST/SIZE'"
        first, last, size = map(int, match.groups())
        if int(answer.headers.get("Content-Length", last + 1 - first)) != last + 1 - first:
            return f"Content-Length {answer.headers['Content-Length']} for {last + 1 - first} bytes"
        self._check_version(size, answer.headers.get("ETag", "").strip('"'))
        if byte_range.last is None:
            byte_range.first, byte_range.last = first, last
        if first != byte_range.first + len(byte_range.content):
            return f"bytes from {first}, expected from {byte_range.first + len(byte_range.content)}"
        return ""

    def _check_version(self, size: int, etag: str) -> None:
        if (size, etag) != (self._version or (size, etag)):
            raise DataError(f"{self.source}: {self.url} changed while it was read - try again")
        self._version = (size, etag)
        if self.md5 and etag.startswith("md5:") and etag != f"md5:{self.md5}":
            raise DataError(
                f"{self.source}: {self.url} has {etag}, the published file md5:{self.md5} - it is "
                f"another version; check "
                "the address"
            )

    def _requested_wait_s(self, answer: requests.Response) -> float:
        """Return the seconds to wait that Retry-After states, as a number or a date."""
        retry_after = answer.headers.get("Retry-After", "").strip()
        if retry_after.isdigit():
            wait_s = float(retry_after)
        else:
            try:
                wait_s = (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds()
            except (TypeError, ValueError):  # none, or nonsense
                return 0.0
        if wait_s > self.patience.longest_wait_s:
            raise DataError(
                f"{self.source}: {self.url} is busy (HTTP {answer.status_code}) and asks to wait "
                f"{wait_s:.0f} s, at most "
                f"{self.patience.longest_wait_s:.0f} s are waited - try again later (files that arrived whole are kept)"
            )
        return wait_s
