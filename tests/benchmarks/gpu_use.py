"""How busy the GPU is while something runs, as ``nvidia-smi`` tells it five times a second."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import fmean

_QUESTION = ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--loop-ms=200", "--id=0"]


@dataclass
class GpuUse:
    """Mean share of the time in which a kernel ran, %; None where nobody tells."""

    percent: float | None = None


@contextmanager
def gpu_use(device: str) -> Iterator[GpuUse]:
    """Watch the first GPU for as long as the block takes; nothing is asked where training is not on one."""
    use, command = GpuUse(), shutil.which("nvidia-smi")
    if device != "cuda" or command is None:
        yield use
        return
    watch = subprocess.Popen([command, *_QUESTION], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield use
    finally:
        watch.terminate()
        said = [float(line) for line in watch.communicate()[0].split() if line.isdigit()]
        use.percent = fmean(said) if said else None
