"""A server of files on this machine that answers range requests, and misbehaves when told to."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import unquote

import pytest

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request.

    Args:
        status: answered with this, and nothing else.
        retry_after: its Retry-After header.
        cut_after: bytes of the body after which the connection is cut.
        ignore_range: the whole file is sent with status 200.
        length: Content-Length that is stated, whatever is sent.
        flip: the first byte of the body is another one.
        etag: another version of the file.
    """

    status: int = 0
    retry_after: str = ""
    cut_after: int | None = None
    ignore_range: bool = False
    length: int | None = None
    flip: bool = False
    etag: str = ""


@dataclass
class RangeServer:
    """Files by path, what goes wrong with the requests to come, and what was asked and sent."""

    files: dict[str, bytes] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    always: Fault = field(default_factory=Fault)
    ranges: list[str] = field(default_factory=list)
    agents: set[str] = field(default_factory=set)
    sent: int = 0
    url: str = ""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: ClassVar[RangeServer]

    def do_GET(self) -> None:
        state = self.state
        state.ranges.append(self.headers.get("Range", ""))
        state.agents.add(self.headers.get("User-Agent", ""))
        fault = state.faults.pop(0) if state.faults else state.always
        content = state.files.get(unquote(self.path))
        if fault.status or content is None:
            self.send_response(fault.status or 404)
            if fault.retry_after:
                self.send_header("Retry-After", fault.retry_after)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        first, last = self._wanted(len(content))
        body = content if fault.ignore_range else content[first : last + 1]
        if fault.flip:
            body = bytes([body[0] ^ 1]) + body[1:]
        self.send_response(200 if fault.ignore_range else 206)
        if not fault.ignore_range:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.send_header("Content-Length", str(len(body) if fault.length is None else fault.length))
        self.send_header("ETag", f'"{fault.etag or state.always.etag}"')
        self.end_headers()
        self._send(body if fault.cut_after is None else body[: fault.cut_after])
        self.close_connection = fault.cut_after is not None or fault.length is not None

    def _wanted(self, size: int) -> tuple[int, int]:
        match = _RANGE.fullmatch(self.headers.get("Range", ""))
        if match is None:
            return 0, size - 1
        if not match[1]:
            return max(0, size - int(match[2])), size - 1
        return int(match[1]), min(int(match[2] or size), size - 1)

    def _send(self, body: bytes) -> None:
        try:
            for begin in range(0, len(body), 4096):
                self.wfile.write(body[begin : begin + 4096])
                self.state.sent += len(body[begin : begin + 4096])
        except OSError:  # the client has enough
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def range_server() -> Iterator[RangeServer]:
    state = RangeServer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"state": state}))
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def fault() -> type[Fault]:
    return Fault
