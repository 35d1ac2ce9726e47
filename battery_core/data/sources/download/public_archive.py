"""Files of a public set, from a local folder or a verified download."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
import zipfile
from pathlib import Path, PurePosixPath

from battery_core.data.versioning.content import file_sha256
from battery_core.errors import DataError

COMMIT = "0de38d8999c42394354f62cf2a6ff8454cee4fd8"
URL = f"https://github.com/wang-fujin/PINN4SOH/archive/{COMMIT}.zip"
_PARENTS = ("pinn4soh", "data", ".")  # below data.reference_root: reference data, a clone, the sets themselves
_TRIES = 3
# GitHub may pack an archive anew, so not the archive is verified but every byte of the files that come out of it:
# set -> (number of files, folder_digest); MIT has no reference copy to compare with, only its number of files is known
CHECKSUMS: dict[str, tuple[int, str]] = {
    "XJTU data": (55, "e81174dcb66e8dcc837e6330b5927e994708c0c92227ffc2eb737fc443528c35"),
    "TJU data": (130, "88d42f1c1cdc69fbaeb679e42a9d2413b3e8546e9a18b4967eafc72ef3ef2da5"),
    "HUST data": (77, "6b0af111507d6b91ca6ec3b36ba739f45ec0f2c1fc1029ac8c13390315167bce"),
    "MIT data": (125, ""),
}


def csv_files(folder: Path) -> list[Path]:
    """Return all CSV files below a folder in name order, without hidden files."""
    paths: list[str] = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [os.path.join(place, name) for name in files if name.endswith(".csv") and not name.startswith(".")]
    return [Path(name) for name in sorted(paths, key=lambda name: name.split(os.sep))]


def folder_digest(folder: Path) -> str:
    """Return one sha256 over the names and contents of a folder's CSV files."""
    digest = hashlib.sha256()
    for path in csv_files(folder):
        digest.update(f"{file_sha256(path)}  {path.relative_to(folder).as_posix()}\n".encode())
    return digest.hexdigest()


def find_folder(root: Path, folder: str, source: str) -> Path:
    """Return the set's folder below ``data.reference_root``.

    Raises:
        DataError: it is not there, or there is no CSV file in it.
    """
    places = [root.expanduser() / parent / folder for parent in _PARENTS]
    place = next((p for p in places if p.is_dir()), None)
    if place is None:
        raise DataError(
            f"source '{source}': no folder '{places[0]}' - point data.reference_root (now {root}) at the folder that "
            "holds it, or leave data.reference_root out to download the public files"
        )
    if not csv_files(place):
        raise DataError(f"source '{source}': no CSV file in '{place}'; expected one a cell - put the set's files there")
    return place


def copy_csv_files(folder: Path, raw_dir: Path) -> None:
    """Copy the set's files, folder by folder."""
    for path in csv_files(folder):
        target = raw_dir / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def download(folder: str, raw_dir: Path, source: str, archive: Path | None = None) -> None:
    """Download one set from the public archive and verify it; the archive stays in the user's cache.

    Raises:
        DataError: no network, or the files are not the published ones.
    """
    _extract(archive or _archive(source), folder, raw_dir)
    count, digest = CHECKSUMS[folder]
    files = csv_files(raw_dir)
    if len(files) != count or (digest and folder_digest(raw_dir) != digest):
        raise DataError(
            f"source '{source}': the downloaded '{folder}' ({len(files)} files) are not the published {count} files "
            f"byte for byte, from {URL} - delete the archive in the pooch cache and try again, or set "
            "data.reference_root"
        )


def _archive(source: str) -> Path:
    import pooch

    pooch.get_logger().setLevel("WARNING")  # it would advise to pin the archive's hash; the files are verified instead
    for attempt in range(_TRIES):
        try:
            name = f"PINN4SOH-{COMMIT[:8]}.zip"
            return Path(pooch.retrieve(URL, known_hash=None, fname=name, path=pooch.os_cache("battery-retraining")))
        except OSError as err:  # requests' errors are OSErrors too
            if attempt == _TRIES - 1:
                raise DataError(
                    f"source '{source}': {URL} cannot be downloaded ({type(err).__name__}) - check the network, or set "
                    "data.reference_root to a folder that has the files"
                ) from err
            time.sleep(2.0**attempt)
    raise AssertionError("unreachable")


def _extract(archive: Path, folder: str, raw_dir: Path) -> None:
    """Write the CSV files of one set; the archive has one top folder, then data/<set>/..."""
    try:
        with zipfile.ZipFile(archive) as packed:
            for member in packed.namelist():
                parts = PurePosixPath(member).parts
                if parts[1:3] == ("data", folder) and member.endswith(".csv") and ".." not in parts:
                    target = raw_dir.joinpath(*parts[3:])
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(packed.read(member))
    except zipfile.BadZipFile as err:
        raise DataError(f"archive {archive} is not a whole zip file - delete it and try again") from err
