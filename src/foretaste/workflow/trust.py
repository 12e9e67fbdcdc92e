"""Whether a stored recipe may run code on this machine.

Some recipes run code that no data file can: a Python function, or tasks of lm-evaluation-harness in files of one's own.
Running such a recipe from its file is the user's decision. A study keeps its recipe, and a study may come from somebody
else, so the recipe that a study keeps runs only where this user ran it before, in this folder, or trusted it with
``--trust``.

What was trusted is noted in the user's state folder, ``$XDG_STATE_HOME/foretaste/trusted`` or
``~/.local/state/foretaste/trusted``: an empty file named by the hash of the study's place and of what it runs. Nothing
in the study itself can claim to be trusted.

References:
    XDG Base Directory Specification, https://specifications.freedesktop.org/basedir-spec/latest/
"""

import hashlib
import json
import os
import shlex
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from foretaste.errors import StudyError
from foretaste.plan import Recipe
from foretaste.sources.plans import FunctionModel, TransformersModel
from foretaste.store.study import StudyStore

__all__ = ["check_stored_recipe", "check_trust", "code_run_by", "is_trusted", "remember_trust"]


def code_run_by(recipe: Recipe) -> str | None:
    """What code a recipe runs, in words; None if it runs none of its own.

    >>> from foretaste.recipe import parse
    >>> code_run_by(parse("{name: a, model: {source: digits}}")) is None
    True
    >>> code_run_by(parse("{name: a, model: {source: function, call: 'mine:problem'}}"))
    'the Python function mine:problem'
    """
    match recipe.model:
        case FunctionModel() as model:
            return f"the Python function {model.call}"
        case TransformersModel() as model if model.harness is not None and model.harness.tasks is not None:
            return f"the lm-evaluation-harness tasks in {model.harness.tasks}"
        case _:
            return None


def remember_trust(folder: Path, recipe: Recipe) -> None:
    """Note that this user runs this recipe's code in this study.

    Where that cannot be noted, ``--trust`` is asked for again.

    Args:
        folder: The study's.
        recipe: One that the user named, or trusts.
    """
    note = _note(folder, recipe)
    if code_run_by(recipe) is None or note is None:
        return
    with suppress(OSError):
        note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        note.touch(mode=0o600)


def is_trusted(folder: Path, recipe: Recipe) -> bool:
    """Whether a study's recipe runs no code, or code that this user ran or trusted in this folder before."""
    if code_run_by(recipe) is None:
        return True
    note = _note(folder, recipe)
    return note is not None and note.is_file()


def check_trust(folder: Path, recipe: Recipe) -> None:
    """Check that a study's recipe may run here.

    Raises:
        StudyError: It runs code that this user has not trusted; the message says how to trust it.
    """
    if not is_trusted(folder, recipe):
        again = shlex.join(["foretaste", "explore", str(folder), "--trust"])
        raise StudyError(
            f"the study {folder} runs {code_run_by(recipe)}, and this user has not run that here before; "
            f"if you trust whoever made the study, run `{again}`, or run its recipe with --study"
        )


def check_stored_recipe(folder: Path) -> None:
    """Check that the recipe that a study keeps may run here; a study without one is judged when it is opened for work.

    Raises:
        StudyError: As `check_trust`, or the folder is no study.
    """
    with StudyStore.open(folder) as study:
        stored = study.recipe()
    if stored is None:
        return
    try:
        recipe = Recipe.model_validate(stored[1].get("recipe"))
    except ValidationError:
        return
    check_trust(folder, recipe)


def _note(folder: Path, recipe: Recipe) -> Path | None:
    """The file that says that a recipe is trusted; None if this user has no place for it."""
    state = os.environ.get("XDG_STATE_HOME", "")
    try:
        place = Path(state) if Path(state).is_absolute() else Path.home() / ".local" / "state"
    except RuntimeError:  # nobody's home
        return None
    model = recipe.model.model_dump(mode="json", exclude_unset=True)
    text = json.dumps([str(folder.resolve()), model], sort_keys=True)
    return place / "foretaste" / "trusted" / hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
