"""Results that people and machines read: as HTML in a notebook, as a record, and as a data frame.

How a result is shown is decided in ``report`` and ``workflow``, which register a view for each type of result. Results
lie below these rooms, so that rows can be read without them: the views of ``report`` are imported when the first one is
needed.
"""

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from foretaste.document.blocks import Section
from foretaste.document.markup import html
from foretaste.errors import MissingExtra
from foretaste.one_line import one_line

if TYPE_CHECKING:
    import pandas

__all__ = ["Json", "Readable", "ReadableMapping", "ReadableSequence", "Record", "View", "register_view", "sections_of"]

Json = Any  # lists, dicts, texts and numbers
Record = dict[str, Json]
_Item = TypeVar("_Item")
_Value = TypeVar("_Value")
_VIEWS = "foretaste.report.views"


class Readable:
    """A result that a notebook shows as HTML, and that becomes a record or a data frame."""

    def to_dict(self) -> Json:
        """Return the record that the command prints with ``--json``: plain lists, dicts, texts and numbers."""
        return _view_of(self).record(self)

    def to_pandas(self) -> "pandas.DataFrame":
        """Return a table of the result.

        Raises:
            MissingExtra: pandas is not installed.
        """
        try:
            frames: Any = importlib.import_module("pandas")
        except ImportError as error:
            raise MissingExtra("to_pandas needs pandas; install it with: pip install 'foretaste[pandas]'") from error
        table: pandas.DataFrame = frames.DataFrame(_view_of(self).table(self))
        return table

    def _repr_html_(self) -> str:
        return html(sections_of(self))


class ReadableSequence(Sequence[_Item], Readable):
    """A readable, immutable sequence.

    Args:
        items: The items, in order.
    """

    def __init__(self, items: Iterable[_Item] = ()) -> None:
        self._items = tuple(items)

    @overload
    def __getitem__(self, index: int) -> _Item: ...
    @overload
    def __getitem__(self, index: slice) -> "ReadableSequence[_Item]": ...
    def __getitem__(self, index: int | slice) -> "_Item | ReadableSequence[_Item]":
        return type(self)(self._items[index]) if isinstance(index, slice) else self._items[index]

    def __len__(self) -> int:
        return len(self._items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and not isinstance(other, str) and self._items == tuple(other)

    def __hash__(self) -> int:
        return hash(self._items)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)})"


class ReadableMapping(Mapping[str, _Value], Readable):
    """A readable, immutable mapping.

    Args:
        items: The values by name, in order.
    """

    def __init__(self, items: Mapping[str, _Value]) -> None:
        self._items = dict(items)

    def __getitem__(self, name: str) -> _Value:
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self)})"


@dataclass(frozen=True)
class View(Generic[_Value]):
    """How one type of result is read.

    Args:
        record: Makes the record for machines.
        sections: Makes the sections for people.
        table: Makes the rows of a table, with a value for each column.
    """

    record: Callable[[_Value], object]
    sections: Callable[[_Value], Sequence[Section]]
    table: Callable[[_Value], list[Record]]

    __repr__ = one_line


_REGISTERED: dict[type, View[Any]] = {}


def register_view(kind: type[_Value], view: View[_Value]) -> None:
    """Set how results of a type are read.

    Args:
        kind: The type, a subclass of `Readable`.
        view: Its view.
    """
    _REGISTERED[kind] = view


def sections_of(result: Readable) -> Sequence[Section]:
    """Return a result as sections, for a terminal or a document."""
    return _view_of(result).sections(result)


def _view_of(value: Readable) -> View[Any]:
    if type(value) not in _REGISTERED:
        importlib.import_module(_VIEWS)
    return _REGISTERED[type(value)]
