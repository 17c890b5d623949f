"""Values by name, several of each: the arguments of a query, the fields and files of a form."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Iterable

_T = TypeVar("_T")
_D = TypeVar("_D")


class Parameters(dict[str, list[_T]]):
    """A dict of lists: ``p['name']`` is every value, ``p.get('name')`` the first."""

    @classmethod
    def of_pairs(cls, pairs: Iterable[tuple[str, _T]]) -> Parameters[_T]:
        """The values of each name, in their order."""
        parameters: Parameters[_T] = cls()
        for name, value in pairs:
            parameters.setdefault(name, []).append(value)
        return parameters

    @overload  # type: ignore[override]  # the first value, as everybody who writes get() expects
    def get(self, name: str) -> _T | None: ...
    @overload
    def get(self, name: str, default: _D) -> _T | _D: ...
    def get(self, name: str, default: object = None) -> object:
        """The first value of the name, else the default."""
        values = self.getlist(name)
        return values[0] if values else default

    def getlist(self, name: str) -> list[_T]:
        """Every value of the name; an empty list where there is none."""
        return super().get(name, [])
