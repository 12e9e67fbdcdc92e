"""Every error that foretaste raises on purpose.

::

    ForetasteError
    |-- BadInput (ValueError)            the caller can fix it;  exit code 2
    |   |-- WeightsError                 task weights
    |   |-- ParamsError                  names, shapes, values of params
    |   |-- TaskError                    a task's data, labels or metrics
    |   |-- RecipeError                  the YAML file
    |   |-- DataError                    a data file or a checkpoint on disk
    |   |-- StudyError                   a study folder
    |   |-- StorageError (OSError)       the disk refuses: full, read-only
    |   `-- MissingExtra (ImportError)   an optional package is not installed
    |-- RunFailed (RuntimeError)         work that was started could not be finished; exit code 1
    |   `-- Diverged (ArithmeticError)   a loss became NaN or infinite
    `-- Stopped                          the user asked for it; exit code 130
"""

__all__ = [
    "BadInput",
    "DataError",
    "Diverged",
    "ForetasteError",
    "MissingExtra",
    "ParamsError",
    "RecipeError",
    "RunFailed",
    "Stopped",
    "StorageError",
    "StudyError",
    "TaskError",
    "WeightsError",
]

from typing import Self


class ForetasteError(Exception):
    """Root of every error that foretaste raises on purpose.

    >>> issubclass(WeightsError, (ForetasteError, ValueError))
    True
    """

    exit_code = 1


class BadInput(ForetasteError, ValueError):
    """Something the caller gave cannot be used; the message says what to do."""

    exit_code = 2
    field: tuple[str, ...] = ()

    def at(self, *field: str) -> Self:
        """Name the recipe's field that is at fault, unless a deeper one is named already.

        >>> DataError("no such file").at("tasks", "movies", "train").field
        ('tasks', 'movies', 'train')
        """
        self.field = self.field or field
        return self


class WeightsError(BadInput):
    """Task weights that are not a point of the simplex over the study's tasks."""


class ParamsError(BadInput):
    """Params that do not fit together, or hold NaN or infinity."""


class TaskError(BadInput):
    """A task that cannot be trained or evaluated."""


class RecipeError(BadInput):
    """A recipe that names something impossible; the message gives file, line and field."""


class DataError(BadInput):
    """A data file or checkpoint that is missing, empty, unreadable or unsafe."""


class StudyError(BadInput):
    """A study folder that is missing, or was made by another recipe or a newer foretaste."""


class StorageError(BadInput, OSError):
    """The disk refuses to keep a result: full, read-only or unreachable."""


class MissingExtra(BadInput, ImportError):
    """An optional package is needed; the message has the command that installs it."""


class RunFailed(ForetasteError, RuntimeError):
    """Work that was started could not be finished."""


class Diverged(RunFailed, ArithmeticError):
    """A loss became NaN or infinite; the last good state is kept."""


class Stopped(ForetasteError):
    """The user asked to stop; everything finished so far is kept."""

    exit_code = 130
