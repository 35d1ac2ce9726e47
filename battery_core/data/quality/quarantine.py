"""Summary of the quarantined rows for a run page."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

QUARANTINE = "quarantine.parquet"
_FIRST = ("cell_id", "checkup_index", "rule", "reason", "capacity_Ah")


def quarantine_shown(tables: Path, most: int = 50) -> tuple[str, list[dict[str, Any]]]:
    """Return one sentence with the counts by rule, and the first rows; the sentence also covers the empty case.

    A row that breaks several rules counts with each of them.
    """
    file = tables / QUARANTINE
    if not file.is_file() or not (n := pq.read_metadata(file).num_rows):
        return "Nothing is quarantined.", []
    rules = pq.read_table(file, columns=["rule"]).column("rule").to_pylist()
    counts = Counter(rule for words in rules for rule in words.split(", "))
    by_rule = ", ".join(f"{rule} {count}" for rule, count in counts.most_common())
    first = next(pq.ParquetFile(file).iter_batches(batch_size=most, columns=list(_FIRST))).to_pylist()
    # capacities may be infinite there, and JSON has no infinity
    rows = [{name: row[name] if name != "capacity_Ah" else f"{row[name]}" for name in _FIRST} for row in first]
    shown = f"; the first {len(rows)} are shown" if n > len(rows) else ""
    return f"{n} check-ups are quarantined ({by_rule}){shown}.", rows
