"""One registry for everything that is chosen by name: sources, splits, feature sets, models, losses."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar, cast

from battery_core.errors import SettingsError, unknown_name

T = TypeVar("T")


class Registry(Generic[T]):
    """Names of classes of one kind; a built-in is imported only when it is asked for.

    A registered name is at once a legal setting: settings check their names against the registry.

    Example:
        >>> models = Registry[object]("model", {"fraction": "fractions:Fraction"})
        >>> models.get("fraction", 1, 4)
        Fraction(1, 4)
        >>> models.list_available()
        ['fraction']
    """

    def __init__(self, kind: str, builtin: Mapping[str, str] | None = None) -> None:
        self.kind = kind
        self._entries: dict[str, type[T] | str] = dict(builtin or {})

    def register(self, name: str) -> Callable[[type[T]], type[T]]:
        """Class decorator that files a class under ``name``.

        Raises:
            SettingsError: the name is taken by another class.
        """

        def file_class(cls: type[T]) -> type[T]:
            taken = self._entries.get(name)
            address = f"{cls.__module__}:{cls.__qualname__}"
            if taken is not None and address != (taken if isinstance(taken, str) else _address(taken)):
                raise SettingsError(f"{self.kind} '{name}' is taken by {taken}: register {address} under another name")
            self._entries[name] = cls
            return cls

        return file_class

    def list_available(self) -> list[str]:
        """All names, in the order they were registered."""
        return list(self._entries)

    def __getitem__(self, name: str) -> type[T]:
        entry = self._entries.get(name)
        if entry is None:
            raise unknown_name(self.kind, name, self._entries)
        if isinstance(entry, str):
            self._entries[name] = entry = cast(type[T], import_address(entry))
        return entry

    def get(self, name: str, *args: Any, **kwargs: Any) -> T:
        """An instance of the class filed under ``name``.

        Raises:
            UnknownNameError: nothing is filed under that name; the text has the nearest names.
            SettingsError: the class does not take these parameters.
        """
        cls = self[name]
        try:
            return cls(*args, **kwargs)
        except TypeError as err:
            raise SettingsError(f"{self.kind} '{name}' cannot be made with {kwargs or args}: {err}") from err

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)


def import_address(address: str) -> Any:
    """Import what an address such as ``package.module:Class`` names.

    Example:
        >>> import_address("fractions:Fraction").__name__
        'Fraction'
    """
    module, _, attribute = address.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _address(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"
