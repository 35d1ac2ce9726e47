"""What LGBMModel costs beside a bare ``lightgbm.train`` on the same rows: ``python -m tests.benchmarks.trees``.

The two take turns with the same parameters, the first turn is left out, times are CPU seconds of one thread;
predictions must be the same bits.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from battery_core.models.lgbm import LGBMModel
from tests.benchmarks.training_loop import ROWS, load

Array = npt.NDArray[np.float64]
PARAMS = {"n_estimators": 300, "early_stopping_rounds": 300, "num_threads": 1}


def ours(x: Array, y: Array, train: slice, val: slice) -> Array:
    return LGBMModel(**PARAMS).fit(x[train], y[train], x[val], y[val]).predict(x)[:, 0]


def bare(x: Array, y: Array, train: slice, val: slice) -> Array:
    rows = lgb.Dataset(x[train], y[train, 0])
    watched = rows.create_valid(x[val], y[val, 0])
    stop = lgb.early_stopping(PARAMS["early_stopping_rounds"], verbose=False)
    booster = lgb.train(LGBMModel(**PARAMS).params, rows, PARAMS["n_estimators"], [watched], callbacks=[stop])
    return np.asarray(booster.predict(x))


def main() -> None:
    """Print a line for each set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    for name in ROWS:
        samples = load(name)
        x, y, cut = samples.x.astype(np.float64), samples.y.astype(np.float64), len(samples) * 4 // 5
        times: dict[str, list[float]] = {"LGBMModel": [], "bare": []}
        said: dict[str, Array] = {}
        contestants: dict[str, Callable[..., Array]] = {"LGBMModel": ours, "bare": bare}
        for turn in range(rounds + 1):
            for who in sorted(contestants, reverse=bool(turn % 2)):
                began = time.process_time()
                said[who] = contestants[who](x, y, slice(0, cut), slice(cut, None))
                times[who].append(time.process_time() - began)
        ours_s, bare_s = (median(times[who][1:]) for who in ("LGBMModel", "bare"))
        same = "the same" if np.array_equal(said["LGBMModel"], said["bare"]) else "DIFFERENT"
        best = min(times["LGBMModel"][1:]) / min(times["bare"][1:])
        print(
            f"{name}, {len(samples)} rows: LGBMModel {ours_s:.3f} s, bare {bare_s:.3f} s, ratio {ours_s / bare_s:.3f} "
            f"by medians, {best:.3f} by best; predictions {same}",
            flush=True,
        )


if __name__ == "__main__":
    main()
