"""An extension of griffe: doctests of docstrings become blocks of code, without a heading of their own."""

import re

from griffe import Extension, Object

__all__ = ["DoctestFences", "fence_doctests"]

_DOCTEST = re.compile(r"^>>> .*(?:\n(?!\n|\Z).+)*", re.MULTILINE)


def fence_doctests(text: str) -> str:
    r"""Put fences around the doctests of a docstring that stand at its margin.

    >>> print(fence_doctests("Add.\n\n>>> 1 + 1\n2").replace("`", "'"))
    Add.
    <BLANKLINE>
    '''pycon
    >>> 1 + 1
    2
    '''
    """
    return _DOCTEST.sub(lambda block: f"```pycon\n{block[0]}\n```", text)


class DoctestFences(Extension):
    """Fences the doctests of every docstring that is read."""

    def on_object(self, *, obj: Object, **_: object) -> None:
        """Change the docstring of an object when it is loaded."""
        if obj.docstring is not None:
            obj.docstring.value = fence_doctests(obj.docstring.value)
