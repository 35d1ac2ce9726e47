"""Registries of sources and split strategies; a class is imported on first use."""

from __future__ import annotations

from typing import Any

from battery_core.registry import Registry

SOURCES: Registry[Any] = Registry(
    "source",
    {
        "simulated": "battery_core.data.sources.simulated.source:SimulatedSource",
        "xjtu": "battery_core.data.sources.charge_statistics.source:XJTU",
        "tju": "battery_core.data.sources.charge_statistics.source:TJU",
        "hust": "battery_core.data.sources.charge_statistics.source:HUST",
        "mit": "battery_core.data.sources.charge_statistics.source:MIT",
        "lgm50t": "battery_core.data.sources.lgm50t.source:LGM50TSource",
        "nasa_pcoe": "battery_core.data.sources.nasa_pcoe.source:NasaPcoe",
        "cycler_folder": "battery_core.data.sources.cycler_folder.source:CyclerFolder",
    },
)
"""Where cells come from; each is a ``Source``."""

SPLITS: Registry[Any] = Registry(
    "split strategy",
    {
        "published": "battery_core.data.splits.strategies:Published",
        "random": "battery_core.data.splits.strategies:Random",
        "temperature": "battery_core.data.splits.strategies:ByTemperature",
        "by_group": "battery_core.data.splits.strategies:ByGroup",
        "by_protocol": "battery_core.data.splits.strategies:ByProtocol",
        "leave_one_cell_out": "battery_core.data.splits.strategies:LeaveOneCellOut",
        "grouped_kfold": "battery_core.data.splits.strategies:GroupedKFold",
        "fixed": "battery_core.data.splits.strategies:Fixed",
    },
)
"""How cells are divided; each is a ``SplitStrategy``."""
