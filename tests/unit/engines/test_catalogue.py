import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

import foretaste
from foretaste.engines.catalogue import MODULES, REVISIONS
from foretaste.work.work import Work, revisions

SOURCE = Path(foretaste.__file__).parent


def subclasses_of(cls: type) -> Iterator[type]:
    for each in cls.__subclasses__():
        yield each
        yield from subclasses_of(each)


def test_every_module_with_work_is_listed() -> None:
    """A worker imports only the modules that are listed, and cannot read work of any other."""
    for path in (path for room in ("methods", "work") for path in (SOURCE / room).glob("*.py")):
        importlib.import_module(f"foretaste.{path.parent.name}.{path.stem}")
    concrete = {cls.__module__ for cls in subclasses_of(Work) if cls.__module__.startswith("foretaste.") and not inspect.isabstract(cls)}
    assert concrete == {module.__name__ for module in MODULES}


def test_every_kind_has_a_revision() -> None:
    assert revisions().items() <= REVISIONS.items()
    assert {"finetune", "joint", "site", "evaluation", "choice", "factors"} <= set(REVISIONS)
    assert all(revision >= 1 for revision in REVISIONS.values())
