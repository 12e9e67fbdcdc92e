import importlib
import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import foretaste
from foretaste.engines.catalogue import MODULES, REVISIONS
from foretaste.work.work import Work

SOURCE = Path(foretaste.__file__).parent


def subclasses_of(classes: Iterable[type[Work[Any]]]) -> Iterator[type[Work[Any]]]:
    for cls in classes:
        yield cls
        yield from subclasses_of(cls.__subclasses__())


def work_classes() -> list[type[Work[Any]]]:
    """Every class of work in the package that can be done."""
    for path in (path for room in ("methods", "work") for path in (SOURCE / room).glob("*.py")):
        importlib.import_module(f"foretaste.{path.parent.name}.{path.stem}")
    return [
        cls
        for cls in subclasses_of(Work.__subclasses__())
        if cls.__module__.startswith("foretaste.") and not inspect.isabstract(cls)
    ]


def test_every_module_with_work_is_listed() -> None:
    """A worker imports only the modules that are listed, and cannot read work of any other."""
    assert {cls.__module__ for cls in work_classes()} == {module.__name__ for module in MODULES}


def test_every_kind_has_a_revision() -> None:
    assert {cls.kind: cls.revision for cls in work_classes()} | {"factors": 2} == REVISIONS
