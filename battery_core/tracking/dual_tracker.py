"""Local run record with a copy in MLflow; training never waits for MLflow."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from battery_core.tracking.base import TrackingError
from battery_core.tracking.local_tracker import LocalTracker

logger = logging.getLogger(__name__)


class DualTracker(LocalTracker):
    """Record a run in a local folder with TensorBoard curves, and send it to MLflow in the background and at the end.

    MLflow is only imported when something is sent. A store that fails or hangs costs at most ``mlflow_timeout_s`` at
    the end of the run. The local record is complete; the warning names the command that sends it later.

    Args:
        local_base_dir: folder of runs; checkpoints go to ``<local_base_dir>/<run_id>/checkpoints``.
        use_tensorboard: whether to write event files.
        mlflow_tracking_uri: where to send; ``file:./folder`` is a SQLite store in that folder, None sends nothing.
        experiment: name of the MLflow experiment.
        flush_every: logged steps between two sends while the run goes on; 0 sends at the end only.
        mlflow_timeout_s: how long the end of a run waits for MLflow.
    """

    def __init__(
        self,
        local_base_dir: Path | str = "artifacts/runs",
        use_tensorboard: bool = True,
        mlflow_tracking_uri: str | None = None,
        experiment: str = "soh-training",
        flush_every: int = 100,
        mlflow_timeout_s: float = 60.0,
    ) -> None:
        super().__init__(local_base_dir, use_tensorboard)
        self.mlflow_tracking_uri, self.experiment = mlflow_tracking_uri, experiment
        self.flush_every, self.mlflow_timeout_s = flush_every, mlflow_timeout_s
        self._sender: threading.Thread | None = None
        self._logged = 0
        self._failed = False

    def start_run(
        self, name: str, config: Mapping[str, Any] | BaseModel | None = None, run_id: str | None = None
    ) -> str:
        """Open a run; see ``LocalTracker.start_run``."""
        self._logged, self._failed = 0, False
        return super().start_run(name, config, run_id)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write numbers down locally; every so often MLflow gets what it does not have yet."""
        super().log_metrics(metrics, step)
        self._logged += 1
        if self.flush_every and self._logged % self.flush_every == 0 and not self._failed:
            self._start_sending()

    def end_run(self, status: str = "FINISHED") -> None:
        """Close the run and send the rest of it."""
        folder = self.run_dir
        super().end_run(status)
        if folder is None or self.mlflow_tracking_uri is None:
            return
        deadline = time.monotonic() + self.mlflow_timeout_s
        if self._sender is not None:
            self._sender.join(self.mlflow_timeout_s)
        if self._sender is None or not self._sender.is_alive():
            self._start_sending(folder)
            assert self._sender is not None
            self._sender.join(max(deadline - time.monotonic(), 0.0))
        if self._sender.is_alive():
            logger.warning(
                "MLflow at '%s' did not answer within %g s: the local run is whole, send it later: "
                "python -m battery_core.tracking %s --uri %s",
                self.mlflow_tracking_uri, self.mlflow_timeout_s, folder, self.mlflow_tracking_uri,
            )  # fmt: skip
        self._sender = None

    def _start_sending(self, folder: Path | None = None) -> None:
        folder = folder or self.run_dir
        busy = self._sender is not None and self._sender.is_alive()
        if folder is None or self.mlflow_tracking_uri is None or busy:
            return
        # a daemon: a thread that hangs in a dead server must not keep the process alive
        self._sender = threading.Thread(target=self._send, args=(folder,), name="mlflow-sender", daemon=True)
        self._sender.start()

    def _send(self, folder: Path) -> None:
        from battery_core.tracking.mlflow_tracker import send_run

        assert self.mlflow_tracking_uri is not None
        try:
            send_run(folder, self.mlflow_tracking_uri, self.experiment)
        except TrackingError as err:
            self._failed = True
            logger.warning("%s", err)
        # Broad: an uncaught error in this thread would print a traceback during training, and the failed send would
        # not be reported. The local record is complete, whatever MLflow or its dependencies raise.
        except Exception as err:  # noqa: BLE001
            self._failed = True
            logger.warning(
                "MLflow at '%s' failed: %s: %s - send the run later: python -m battery_core.tracking %s --uri %s",
                self.mlflow_tracking_uri, type(err).__name__, err, folder, self.mlflow_tracking_uri,
            )  # fmt: skip
