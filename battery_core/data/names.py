"""What can be chosen by name in this room; a class is imported only when it is asked for."""

from __future__ import annotations

from typing import Any

from battery_core.registry import Registry

SOURCES: Registry[Any] = Registry(
    "source",
    {
        "simulated": "battery_core.data.sources.simulated:SimulatedSource",
        "xjtu": "battery_core.data.sources.charge_statistics:XJTU",
        "tju": "battery_core.data.sources.charge_statistics:TJU",
        "hust": "battery_core.data.sources.charge_statistics:HUST",
        "mit": "battery_core.data.sources.charge_statistics:MIT",
        "lgm50t": "battery_core.data.sources.lgm50t_source:LGM50TSource",
        "nasa_pcoe": "battery_core.data.sources.nasa_pcoe:NasaPcoe",
        "cycler_folder": "battery_core.data.sources.cycler_folder:CyclerFolder",
    },
)
"""Where cells come from; each is a ``Source``."""

SPLITS: Registry[Any] = Registry(
    "split strategy",
    {
        "published": "battery_core.data.split_strategies:Published",
        "random": "battery_core.data.split_strategies:Random",
        "temperature": "battery_core.data.split_strategies:ByTemperature",
        "by_group": "battery_core.data.split_strategies:ByGroup",
        "by_protocol": "battery_core.data.split_strategies:ByProtocol",
        "leave_one_cell_out": "battery_core.data.split_strategies:LeaveOneCellOut",
        "grouped_kfold": "battery_core.data.split_strategies:GroupedKFold",
        "fixed": "battery_core.data.split_strategies:Fixed",
    },
)
"""How cells are divided; each is a ``SplitStrategy``."""
