"""Copy of data versions between cache and remote, in a separate process (``python -m ...versioning.remote_copy``)."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from battery_core.data.versioning.remote import PUSH, Remote
from battery_core.data.versioning.store import open_repo

_NAME = "battery-data"
_INCOMPLETE = 3


def copy(way: str, remote: Remote, versions: Sequence[str]) -> list[str]:
    """Copy between cache and remote with DVC; return the md5s of the files that failed."""
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.transfer import transfer

    repo = open_repo(remote.root, None if remote.is_named else {_NAME: remote.config})
    there, here = repo.cloud.get_remote_odb(remote.place if remote.is_named else _NAME), repo.cache.local
    source, target = (here, there) if way == PUSH else (there, here)
    left: list[str] = []

    def not_in_source(status: Any) -> None:
        left.extend(str(part.value) for part in status.missing)

    for version in versions:  # shallow=False: also the files that a folder's list names
        wanted = {HashInfo("md5", version)}
        result: Any = transfer(source, target, wanted, shallow=False, validate_status=not_in_source)
        left.extend(str(part.value) for part in result.failed)
    return left


class _Reasons(logging.Handler):
    """Collect why single files failed; DVC only logs it and continues."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self.seen.append(" ".join(f"{type(error).__name__}: {error}".split()) if error else record.getMessage())


def main(argv: Sequence[str]) -> int:
    """Run the sub-process; return 0 when every file was copied."""
    way, where, *versions = argv
    root, place, endpoint_url, region = json.loads(where)
    remote = Remote(Path(root), place, endpoint_url=endpoint_url, region=region)
    reasons = _Reasons()
    logging.getLogger().addHandler(reasons)
    failed = copy(way, remote, versions)
    if failed:
        why = reasons.seen[0] if reasons.seen else "they are not there"
        print(f"{len(failed)} file(s) could not be copied, such as {failed[0]}: {why}", file=sys.stderr)
    return _INCOMPLETE if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
