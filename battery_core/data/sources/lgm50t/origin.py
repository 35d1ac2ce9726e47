"""Origins of the LG M50T files: archives or unpacked folders on disk, or the five archives on Zenodo."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from battery_core.data.sources.download.remote_archive import copy_members, fetch_members, wanted_members
from battery_core.data.sources.download.remote_ranges import Patience, RemoteFile
from battery_core.data.sources.lgm50t.file_names import SUMMARY_FILE, is_needed
from battery_core.data.versioning.content import file_sha256
from battery_core.errors import DataError

if TYPE_CHECKING:
    from battery_core.data.settings import DataSettings

SOURCE = "source 'lgm50t'"
ARCHIVES: Mapping[str, str] = {
    "Expt 1 - Si-based Degradation.zip": "1a7ee753749a910375c883b7827c73b9",
    "Expt 2,2 - C-based Degradation 2.zip": "9f1bdd6e5b11b9e80a5f1f0a6438d1a7",
    "Expt 3 - Cathode Degradation and Li-Plating.zip": "a946432d9bddda09732d5f6a8661f879",
    "Expt 4 - Drive Cycle Aging (Control).zip": "99083707bc7a24e72d9865abac19ce50",
    "Expt 5 - Standard Cycle Aging (Control).zip": "298aa767e4e14acdb348f5832e0cbae9",
}
"""Archives of Zenodo record 10637534, version 1, and the published md5 of each."""
_ADVICE = "put the archives, packed or unpacked, into a folder 'lgm50t' below data.reference_root"


def local_key(root: Path) -> str:
    """Return the digest of the needed files on disk; packed files count by the checksum in their archive."""
    digest = hashlib.sha256()
    loose, packed = _find(root)
    lines = [f"{path.name} {file_sha256(path)}" for path in loose]
    for path in packed:
        with _open(path) as archive:
            members = wanted_members(archive, is_needed, SOURCE)
            lines += [f"{info.filename} {info.file_size} {info.CRC:08x}" for info in members]
    digest.update("\n".join(sorted(lines)).encode())
    return digest.hexdigest()


def copy_local(root: Path, raw_dir: Path) -> None:
    """Copy the needed files from folders and archives on disk; unpacked files take precedence.

    Raises:
        DataError: there is none, or an archive is damaged.
    """
    loose, packed = _find(root)
    for path in loose:
        target = raw_dir / path.relative_to(_place(root))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    unpacked = {path.name.lower() for path in loose}
    for path in packed:
        with _open(path) as archive:
            members = wanted_members(archive, lambda name: is_needed(name) and name.lower() not in unpacked, SOURCE)
            copy_members(archive, members, raw_dir, f"{SOURCE}, archive '{path.name}'")


def fetch_remote(raw_dir: Path, settings: DataSettings, patience: Patience) -> None:
    """Fetch the needed members of the published archives; complete members are cached for a later attempt.

    Raises:
        DataError: the archives cannot be read, or are not the published ones.
    """
    cache = settings.download_cache.expanduser() if settings.download_cache else _user_cache()
    for name, md5 in ARCHIVES.items():
        url = f"{settings.zenodo_url.rstrip('/')}/{quote(name)}/content"
        folder = cache / Path(name).stem
        members = fetch_members(RemoteFile(url, name, SOURCE, _ADVICE, md5, patience), is_needed, folder)
        if not any(SUMMARY_FILE.fullmatch(Path(info.filename).name) for info in members):
            raise DataError(
                f"{SOURCE}: no performance summary in {url} - it is not the published archive, or {_ADVICE}"
            )
        for info in members:
            target = raw_dir / info.filename
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / info.filename, target)


def _place(root: Path) -> Path:
    below = root.expanduser() / "lgm50t"
    return below if below.is_dir() else root.expanduser()


def _find(root: Path) -> tuple[list[Path], list[Path]]:
    """Find the needed unpacked files, at any depth, and the archives of the experiments."""
    place = _place(root)
    loose = [path for path in sorted(place.rglob("*")) if is_needed(path.name)] if place.is_dir() else []
    packed = [path for path in sorted(place.glob("*")) if path.match("[Ee]xpt*.[Zz][Ii][Pp]")]
    if not loose and not packed:
        raise DataError(
            f"{SOURCE}: neither an archive 'Expt N - ....zip' nor an unpacked file 'Expt N - cell X "
            f"(TTdegC) - Processed "
            f"Data.csv' in '{place}' - point data.reference_root (now {root}) at the folder that holds them, or leave "
            "data.reference_root out to download the files"
        )
    return loose, packed


@contextmanager
def _open(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as err:
        md5 = ARCHIVES.get(path.name, "unknown")
        raise DataError(
            f"{SOURCE}: '{path}' is not a whole zip archive ({err}) - download it again (published md5: {md5})"
        ) from err
    with archive:
        yield archive


def _user_cache() -> Path:
    import pooch

    return Path(pooch.os_cache("battery-retraining")) / "lgm50t"
