"""Live curves for TensorBoard, written without torch."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

logger = logging.getLogger(__name__)


class Curves:
    """Write event files in a run's folder."""

    def __init__(self, folder: Path) -> None:
        from tensorboard.compat.proto import (  # type: ignore[import-untyped,unused-ignore]
            event_pb2,
            summary_pb2,
        )
        from tensorboard.summary.writer.event_file_writer import (  # type: ignore[import-untyped,unused-ignore]
            EventFileWriter,
        )

        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        self._writer = EventFileWriter(str(folder), flush_secs=10)

    def add(self, values: Mapping[str, float], step: int, now: float) -> None:
        """Add one point to each curve."""
        parts = [self._summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._writer.add_event(self._event(wall_time=now, step=step, summary=self._summary(value=parts)))

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


def open_curves(folder: Path) -> Curves | None:
    """Return curves in this folder; without TensorBoard, log a line and return None."""
    try:
        return Curves(folder)
    except ImportError as err:
        logger.warning("no curves for TensorBoard: %s - install tensorboard, or set use_tensorboard=False", err)
        return None
