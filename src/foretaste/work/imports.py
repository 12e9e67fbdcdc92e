"""What a study remembers of imported experts: rows of its table of work, of which the latest of a task counts."""

from collections.abc import Iterable
from pathlib import Path

from foretaste.errors import StudyError
from foretaste.store.study import Done, Json, Study, key_of

__all__ = ["BASE", "SHOWN", "folders_of", "latest", "named", "record", "remove"]

BASE = ""  # whose name no task can have
SHOWN = "(base)"  # how it is shown


def record(study: Study, task: str, number: int, said: Json, result: Json) -> None:
    """A row of its own even where a task was known before.

    Args:
        study: To remember it.
        task: Whose model it is; `BASE` for the pretrained one.
        number: Of the import.
        said: What it is.
        result: Where it is.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Study.create(Path(folder)) as study:
    ...     record(study, "a", 0, {"digest": "1f"}, {"folder": "one"})
    ...     latest(study)["a"].inputs["digest"]
    '1f'
    """
    inputs = {**said, "task": task, "number": number}
    study.add("import", key_of("import", inputs), inputs, result, None, 0.0)


def latest(study: Study) -> dict[str, Done]:
    """What was said last of every task that was not removed since.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Study.create(Path(folder)) as study:
    ...     for place, at in enumerate(("one", "two")):
    ...         record(study, "a", place, {}, {"folder": at})
    ...     latest(study)["a"].result
    {'folder': 'two'}
    """
    found: dict[str, Done] = {}
    for done in sorted(study.all_work("import"), key=lambda done: int(done.inputs["number"])):
        task = str(done.inputs["task"])
        if done.inputs.get("removed"):
            found.pop(task, None)
        else:
            found[task] = done
    return found


def folders_of(study: Study) -> dict[str, Path]:
    """The folders of the experts that a study knows, by what they are, whether they are there or not.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Study.create(Path(folder)) as study:
    ...     folders_of(study)
    {}
    """
    return {named(task): Path(done.result["folder"]) for task, done in latest(study).items()}


def named(task: str) -> str:
    """What a task's expert is called.

    >>> named("code"), named(BASE)
    ("the imported model of task 'code'", 'the imported base')
    """
    return f"the imported model of task {task!r}" if task else "the imported base"


def remove(study: Study, tasks: Iterable[str]) -> None:
    """From now on a study does not know these tasks' models.

    Files stay where they are, and so does what was made of them.

    Args:
        study: Knows them.
        tasks: Their names; ``(base)`` for the pretrained checkpoint.

    Raises:
        StudyError: Others than are known.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Study.create(Path(folder)) as study:
    ...     for place, task in enumerate("ab"):
    ...         record(study, task, place, {}, {"folder": task})
    ...     remove(study, ["a"])
    ...     list(latest(study))
    ['b']
    """
    known, wanted = latest(study), [BASE if task == SHOWN else task for task in tasks]
    strange = [task for task in wanted if task not in known]
    if strange:
        there = ", ".join(task or SHOWN for task in known) or "none"
        raise StudyError(
            f"{study.path} has no imported model of {', '.join(map(repr, strange))} to remove; it has: {there}"
        )
    number = len(study.all_work("import"))
    for task in wanted:
        record(study, task, number, {**known[task].inputs, "removed": True}, known[task].result)
