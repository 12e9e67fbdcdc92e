"""An extension of griffe: doctests of docstrings become blocks of code, without a heading of their own."""

from griffe import Extension, Object

from site_text import fence_doctests

__all__ = ["DoctestFences"]


class DoctestFences(Extension):
    """Fences the doctests of every docstring that is read."""

    def on_object(self, *, obj: Object, **_: object) -> None:
        """Change the docstring of an object when it is loaded."""
        if obj.docstring is not None:
            obj.docstring.value = fence_doctests(obj.docstring.value)
