"""A small study for examples in docstrings."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from foretaste.loading import load
from foretaste.recipe import parse
from foretaste.workflow.session import Session
from foretaste.workflow.start import start

__all__ = ["small_study"]

_SMALL = "finetune: {steps: 1}, curvature: {max_examples: 1}"


@contextmanager
def small_study(parts: str = _SMALL) -> Iterator[Session]:
    """A study of scikit-learn's digits in a temporary folder, at work.

    Args:
        parts: Of the recipe, beside its name and model, as YAML in one line; if left out, all training is one step.

    >>> with small_study() as session:
    ...     session.problem.names
    ['low', 'mid', 'high']
    """
    recipe = parse(text := "{name: a, model: {source: digits}" + (f", {parts}" if parts else "") + "}")
    with tempfile.TemporaryDirectory() as folder:
        session = start(recipe, text, load(recipe, text, ""), Path(folder, "study"))
        with session.study:
            yield session
