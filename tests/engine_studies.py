"""Small studies for tests of engines."""

from dataclasses import replace
from pathlib import Path

from foretaste.engines.engine import Engine
from foretaste.store.study import StudyStore
from foretaste.work.context import Unwatched
from foretaste.workflow.session import Session

__all__ = ["NAMES", "StopAfter", "empty_study", "long_study"]

NAMES = ["low", "mid", "high"]


class StopAfter(Unwatched):
    """A watch that counts progress, and asks to stop after so many units.

    Args:
        after: Units.
    """

    def __init__(self, after: int) -> None:
        self.after, self.count = after, 0

    def advance(self, amount: int, note: str = "", stage: str | None = None) -> None:
        self.count += amount

    def stopping(self) -> bool:
        """Whether so many units are done."""
        return self.count >= self.after


def empty_study(session: Session, folder: Path, engine: Engine, **changes: object) -> Session:
    """The recipe of a session in an empty study, with some of its parts changed."""
    text, plan = session.study.recipe() or ("", {})
    study = StudyStore.create(folder)
    study.add_recipe(text, plan)
    recipe = session.recipe.model_copy(update=changes)
    return replace(session, study=study, recipe=recipe, engine=engine, origin=session.origin)


def long_study(session: Session, folder: Path, engine: Engine) -> Session:
    """The recipe of a session in an empty study, with runs of a second or two (500 steps)."""
    finetune = session.recipe.finetune.model_copy(update={"steps": 500})
    return empty_study(session, folder, engine, finetune=finetune)
