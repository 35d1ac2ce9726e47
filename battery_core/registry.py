"""One registry for all classes that settings choose by name: sources, splits, feature sets, losses."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar, cast

from battery_core.errors import SettingsError, unknown_name

T = TypeVar("T")


class Registry(Generic[T]):
    """Names of classes of one kind; a built-in is imported at its first use.

    A registered name is a valid setting: settings check their names against the registry.

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
        """Return a class decorator that registers a class under ``name``.

        Raises:
            SettingsError: the name is taken by another class.
        """

        def register_class(cls: type[T]) -> type[T]:
            existing = self._entries.get(name)
            address = f"{cls.__module__}:{cls.__qualname__}"
            if existing is not None and address != (existing if isinstance(existing, str) else _address(existing)):
                raise SettingsError(
                    f"{self.kind} '{name}' is taken by {existing}: register {address} under another name"
                )
            self._entries[name] = cls
            return cls

        return register_class

    def list_available(self) -> list[str]:
        """Return all names, in the order of their registration."""
        return list(self._entries)

    def __getitem__(self, name: str) -> type[T]:
        entry = self._entries.get(name)
        if entry is None:
            raise unknown_name(self.kind, name, self._entries)
        if isinstance(entry, str):
            self._entries[name] = entry = cast(type[T], import_address(entry))
        return entry

    def get(self, name: str, *args: Any, **kwargs: Any) -> T:
        """Return an instance of the class that is registered under ``name``.

        Raises:
            UnknownNameError: no class has that name; the text has the nearest names.
            SettingsError: the class does not accept these parameters.
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
