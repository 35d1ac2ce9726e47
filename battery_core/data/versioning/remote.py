"""Remote storage of data versions: a folder, S3-compatible storage, or any remote that DVC supports.

What copies is a sub-process, ``remote_copy``: a remote that hangs is stopped, and whatever a storage library raises is
one line here.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from battery_core.data.versioning.remote_problems import explain
from battery_core.errors import DataError

if TYPE_CHECKING:
    from battery_core.data.settings import DataSettings

_LOG = logging.getLogger(__name__)
_TRIES = 3
_LINKS = re.compile(r"^(\w+)://")
PUSH, PULL = "push", "pull"


class RemoteError(DataError):
    """Report that a data version could not be copied to or from the remote; local data stay intact."""


@dataclass(frozen=True)
class Remote:
    """Copy data versions to and from remote storage.

    Args:
        root: the project folder, whose DVC cache is the other side.
        place: a folder, ``s3://bucket/path``, or the name of a remote in ``.dvc/config``.
        timeout_s: one try that takes longer is stopped.
        wait_s: pause before the second try; it doubles.
        endpoint_url: server of ``s3://``; empty: Amazon, or the value of ``AWS_ENDPOINT_URL``.
        region: of the bucket; empty: from ``AWS_DEFAULT_REGION`` or the profile.

    Keys are not among them: the storage library takes them from where every AWS tool does (``AWS_ACCESS_KEY_ID`` and
    ``AWS_SECRET_ACCESS_KEY``, ``AWS_PROFILE``, the role of the machine).

    Example:
        >>> Remote(Path("."), "s3://cells/soh", endpoint_url="http://nas:9000").label
        's3://cells/soh at http://nas:9000'
    """

    root: Path
    place: str
    timeout_s: float = 1800.0
    wait_s: float = 2.0
    endpoint_url: str = ""
    region: str = ""

    @classmethod
    def of(cls, root: Path, data: DataSettings) -> Remote:
        """Return the remote that the settings name."""
        return cls(
            root, data.remote, data.remote_timeout_s, endpoint_url=data.remote_endpoint_url, region=data.remote_region
        )

    @property
    def label(self) -> str:
        """Return the address with its endpoint; the same bucket name at another endpoint is another address."""
        return f"{self.place} at {self.endpoint_url}" if self.endpoint_url else self.place

    @property
    def config(self) -> dict[str, str]:
        """Return the DVC configuration of a remote that is not in ``.dvc/config``."""
        options = {"url": str(self.folder or self.place), "endpointurl": self.endpoint_url, "region": self.region}
        return {name: value for name, value in options.items() if value}

    def push(self, versions: Sequence[str], log: Callable[[str], None] = _LOG.info) -> None:
        """Copy versions from the cache to the remote; existing files are not sent again.

        Raises:
            RemoteError: it did not take them, also when tried again.
        """
        self._copy(PUSH, versions, log)

    def pull(self, versions: Sequence[str], log: Callable[[str], None] = _LOG.info) -> None:
        """Copy versions from the remote to the cache.

        Raises:
            RemoteError: it has not all of them, or does not answer, also when tried again.
        """
        self._copy(PULL, versions, log)

    def _copy(self, way: str, versions: Sequence[str], log: Callable[[str], None]) -> None:
        self._check()
        where = json.dumps([str(self.root), self.place, self.endpoint_url, self.region])
        command = [sys.executable, "-m", "battery_core.data.versioning.remote_copy", way, where, *versions]
        problem = ""
        for attempt in range(_TRIES):
            if attempt:
                log(f"data remote '{self.label}': {problem}; try {attempt + 1} of {_TRIES}")
                time.sleep(self.wait_s * 2 ** (attempt - 1))
            problem, may_heal = explain(self._once(command))
            if not problem:
                return
            if not may_heal:
                raise RemoteError(f"data remote '{self.label}': {way} failed: {problem}")
        raise RemoteError(f"data remote '{self.label}': {way} failed {_TRIES} times: {problem}")

    def _once(self, command: list[str]) -> str:
        """Make one attempt; return the error in one line, empty on success."""
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=self.timeout_s, stdin=subprocess.DEVNULL
            )
        except subprocess.TimeoutExpired:
            return f"not done after {self.timeout_s:g} s, stopped"
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        return "" if done.returncode == 0 else (lines[-1].strip()[:300] if lines else f"exit code {done.returncode}")

    def _check(self) -> None:
        """Raise errors that no retry can fix.

        Raises:
            RemoteError: the folder is not there, or what speaks to the storage is not installed.
        """
        link = _LINKS.match(self.place)
        if link and link[1] == "s3" and importlib.util.find_spec("dvc_s3") is None:
            raise RemoteError(
                f"data remote '{self.place}': S3 needs the package dvc-s3 - install it with: "
                'pip install -c constraints.txt -e ".[s3]"'
            )
        folder = self.folder
        if folder is not None and not folder.is_dir():
            raise RemoteError(
                f"data remote '{self.place}': no folder '{folder}' - is its disk mounted? Create it once, or name a "
                "remote of .dvc/config"
            )

    @property
    def is_named(self) -> bool:
        """Return whether ``.dvc/config`` states its address."""
        return self.place in _named(self.root)

    @property
    def folder(self) -> Path | None:
        """Return the local folder of the remote; None for other storage and for a name in ``.dvc/config``."""
        if _LINKS.match(self.place) or self.is_named:
            return None
        return self.root / self.place


def _named(root: Path) -> set[str]:
    """Return the names of the remotes in ``.dvc/config`` and ``.dvc/config.local``."""
    files = [root / ".dvc" / name for name in ("config", "config.local")]
    texts = [file.read_text(encoding="utf-8") for file in files if file.is_file()]
    return {name for text in texts for name in re.findall(r"""remote "([^"]+)\"""", text)}
