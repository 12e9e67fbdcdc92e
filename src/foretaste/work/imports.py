"""Imported experts, as a study remembers them: rows of its table of work, of which each task's latest counts."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from foretaste.errors import StudyError
from foretaste.store.study import Done, Json, StudyStore, key_of

__all__ = [
    "BASE",
    "BASE_LABEL",
    "check_removal",
    "describe_expert",
    "folders_of",
    "latest_imports",
    "record_import",
    "remove",
    "undo_on_error",
]

BASE = ""  # stands for the pretrained model; no task can have this name
BASE_LABEL = "(base)"  # what people read and write for it


def record_import(study: StudyStore, task: str, number: int, facts: Json, result: Json) -> None:
    """Record an import in a new row, even where the task has one already.

    Args:
        study: The study that remembers it.
        task: The task of the model; `BASE` for the pretrained one.
        number: The import's number.
        facts: What the model is.
        result: Where the model is.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, StudyStore.create(Path(folder)) as study:
    ...     record_import(study, "a", 0, {"digest": "1f"}, {"folder": "one"})
    ...     latest_imports(study)["a"].inputs["digest"]
    '1f'
    """
    inputs = {**facts, "task": task, "number": number}
    study.add("import", key_of("import", inputs), inputs, result, None, 0.0)


def latest_imports(study: StudyStore) -> dict[str, Done]:
    """Return the latest import of every task, unless it was removed since.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, StudyStore.create(Path(folder)) as study:
    ...     for place, at in enumerate(("one", "two")):
    ...         record_import(study, "a", place, {}, {"folder": at})
    ...     latest_imports(study)["a"].result
    {'folder': 'two'}
    """
    imports: dict[str, Done] = {}
    for done in sorted(study.all_work("import"), key=lambda done: int(done.inputs["number"])):
        task = str(done.inputs["task"])
        if done.inputs.get("removed"):
            imports.pop(task, None)
        else:
            imports[task] = done
    return imports


def folders_of(study: StudyStore) -> dict[str, Path]:
    """Return the folders of imported experts, by a description of each; a folder may be gone.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, StudyStore.create(Path(folder)) as study:
    ...     folders_of(study)
    {}
    """
    return {describe_expert(task): Path(done.result["folder"]) for task, done in latest_imports(study).items()}


def describe_expert(task: str) -> str:
    """Describe a task's expert in words.

    >>> describe_expert("code"), describe_expert(BASE)
    ("the imported model of task 'code'", 'the imported base')
    """
    return f"the imported model of task {task!r}" if task else "the imported base"


def remove(study: StudyStore, tasks: Iterable[str]) -> None:
    """Remove the imported models of some tasks from a study.

    Their files stay, and so do the results of work on them.

    Args:
        study: The study that remembers the models.
        tasks: Names of tasks; ``(base)`` for the pretrained checkpoint.

    Raises:
        StudyError: The study has no imported model of one of these tasks.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, StudyStore.create(Path(folder)) as study:
    ...     for place, task in enumerate("ab"):
    ...         record_import(study, task, place, {}, {"folder": task})
    ...     remove(study, ["a"])
    ...     list(latest_imports(study))
    ['b']
    """
    names, imports = check_removal(study, tasks), latest_imports(study)
    number = len(study.all_work("import"))
    for task in names:
        record_import(study, task, number, {**imports[task].inputs, "removed": True}, imports[task].result)


def check_removal(study: StudyStore, tasks: Iterable[str]) -> list[str]:
    """Check that a study has the imported models of some tasks, and return the names they are recorded under.

    Args:
        study: The study that remembers the models.
        tasks: Names of tasks; ``(base)`` for the pretrained checkpoint.

    Raises:
        StudyError: The study has no imported model of one of these tasks.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, StudyStore.create(Path(folder)) as study:
    ...     record_import(study, BASE, 0, {}, {"folder": "one"})
    ...     check_removal(study, ["(base)"])
    ['']
    """
    imports, names = latest_imports(study), [BASE if task == BASE_LABEL else task for task in tasks]
    strange = [task for task in names if task not in imports]
    if strange:
        there = ", ".join(task or BASE_LABEL for task in imports) or "none"
        raise StudyError(
            f"{study.path} has no imported model of {', '.join(map(repr, strange))} to remove; it has: {there}"
        )
    return names


@contextmanager
def undo_on_error(study: StudyStore) -> Iterator[None]:
    """Import and remove models in this context; if it ends by an error, the study has the same models as before.

    Args:
        study: The study that remembers the models.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, StudyStore.create(Path(folder)) as study:
    ...     try:
    ...         with undo_on_error(study):
    ...             record_import(study, "a", 0, {}, {"folder": "one"})
    ...             raise StudyError("it does not fit")
    ...     except StudyError:
    ...         latest_imports(study)
    {}
    """
    before = latest_imports(study)
    try:
        yield
    except BaseException:
        _restore(study, before)
        raise


def _restore(study: StudyStore, before: Mapping[str, Done]) -> None:
    """Make these the latest imports again."""
    now = latest_imports(study)
    remove(study, [task for task in now if task not in before])
    number = len(study.all_work("import"))
    for task, done in before.items():
        if task not in now or now[task].key != done.key:
            record_import(study, task, number, done.inputs, done.result)
