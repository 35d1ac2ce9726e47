"""Reader of text files with one header: hash and parse the same bytes, as one text."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from errno import ENOENT
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    Bytes = npt.NDArray[np.uint8]

_END = 10  # a line's end


@dataclass(frozen=True)
class RawText:
    """Store the content of several files, read at one moment.

    Args:
        text: their header, then the lines below it of one file after the other; None where they are not alike.
        lines: how many lines each file has below the header.
        sha256: digest of each file as it was read; empty without ``digests``.
    """

    text: Bytes | None
    lines: Sequence[int]
    sha256: Sequence[str]


def read_as_one(paths: Sequence[str], digests: bool = True) -> RawText | None:
    r"""Read files as one text; return None where one is shorter than the header of the first.

    Raises:
        FileNotFoundError: a file is gone.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     files = [Path(folder, name) for name in "ab"]
        ...     written = [file.write_bytes(f"x,y\n1,{file.name}\n".encode()) for file in files]
        ...     whole = read_as_one([str(file) for file in files])
        >>> bytes(whole.text), whole.lines
        (b'x,y\n1,a\n1,b\n', [1, 1])
    """
    with open(paths[0], "rb") as stream:
        header = stream.readline()
    sizes = [os.stat(path).st_size - len(header) for path in paths]
    if min(sizes) <= 0:
        return None
    text = np.empty(len(header) + sum(sizes), dtype=np.uint8)
    text[: len(header)] = np.frombuffer(header, dtype=np.uint8)
    lines: list[int] = []
    shas: list[str] = []
    are_alike, end = True, len(header)
    for path, size in zip(paths, sizes, strict=True):
        part = text[end : end + size]
        first = _read(path, len(header), part)
        are_alike &= first == header and part[-1] == _END
        if digests:
            digest = hashlib.sha256(first)
            digest.update(part.data)
            shas.append(digest.hexdigest())
        lines.append(int(np.count_nonzero(part == _END)))
        end += size
    return RawText(text if are_alike else None, lines, shas)


def _read(path: str, n_first: int, rest: Bytes) -> bytes:
    """Read the first bytes of a file, then the rest into its place in the buffer.

    Raises:
        FileNotFoundError: it is gone, or was cut off meanwhile.
    """
    first = bytearray(n_first)
    file = os.open(path, os.O_RDONLY)
    try:
        n = os.preadv(file, [first, rest.data], 0)
    finally:
        os.close(file)
    if n != n_first + len(rest):
        raise FileNotFoundError(ENOENT, "cut off while it was read", path)
    return bytes(first)
