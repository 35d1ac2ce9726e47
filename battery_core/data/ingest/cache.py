"""The read tables of each cell, kept by content: a cell is read again only when its files, settings or code change.

Each run that reads cells writes one pack, for making a file costs more than checking a cell. An entry that a killed run
left half-written, or that is damaged, counts as not there.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from battery_core.data.ingest.cell_pack import Pieces, Place, entry, places, tables_of
from battery_core.data.ingest.cell_tables import CellTables

_LOG = logging.getLogger(__name__)
_DAY_S = 24 * 3600


class CellStore:
    """A folder of packs of one source."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own = folder / f"{time.time_ns()}-{os.getpid()}.cells"
        self._end = 0  # of our own pack
        self._lock = threading.Lock()
        # of two entries with one key the one that was written last
        self._places = {key: place for pack in sorted(folder.glob("*.cells")) for key, place in places(pack)}

    def save(self, cells: Mapping[str, CellTables]) -> None:
        """Keep the tables of cells, each under the key of all that they depend on."""
        self._append({key: entry(key, tables) for key, tables in cells.items()})

    def _append(self, entries: Mapping[str, Pieces]) -> None:
        with self._lock:
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._own.open("ab") as stream:
                for key, pieces in entries.items():
                    stream.writelines(pieces)
                    length = sum(map(len, pieces))
                    self._places[key] = Place(self._own, self._end, length)
                    self._end += length

    def load(self, key: str) -> CellTables | None:
        """The tables of a key; None where they are not kept, or the entry is damaged."""
        if key not in self._places:
            return None
        tables = tables_of(self._places[key].content())
        if tables is None:
            _LOG.warning("the kept tables '%s' are damaged: the cell is read again", key)
        return tables

    def prune(self, days: float, used: Collection[str]) -> int:
        """Delete packs that no run has used for so many days; the number deleted.

        The date of a pack says when it was last used, to the day. A pack that is hardly used any more hands on what is
        used of it, and grows old from then on.
        """
        self._prune_earlier_layout()
        live: dict[Path, dict[str, Place]] = {pack: {} for pack in self._folder.glob("*.cells")}
        for key, place in self._places.items():
            if key in used and place.pack in live:
                live[place.pack][key] = place
        deleted, now = 0, time.time()
        for pack, entries in live.items():
            about = pack.stat()
            if entries and 2 * sum(place.length for place in entries.values()) < about.st_size:
                for key, place in entries.items():
                    self._append({key: [place.content()]})
            elif entries and now - about.st_mtime > _DAY_S:
                os.utime(pack)
            elif not entries and now - about.st_mtime > days * _DAY_S:
                pack.unlink(missing_ok=True)
                deleted += 1
        return deleted

    def _prune_earlier_layout(self) -> None:
        """Files of one cell each, in folders of two letters: no run looks for them any more."""
        for file in sorted(self._folder.glob("??/*.cell")):
            file.unlink(missing_ok=True)
            with suppress(OSError):  # others are still in it
                file.parent.rmdir()
