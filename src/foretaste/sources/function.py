"""Models and tasks from a Python function of the user's: ``module:function``."""

import importlib
import inspect
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from torch import nn

from foretaste.errors import DataError, ForetasteError, RunFailed, Stopped
from foretaste.sources.problem import Problem, examples_digest, text_digest
from foretaste.task import Task

__all__ = ["call", "users_fault"]

_FOLDERS: set[Path] = set()  # folders of the recipes whose functions were called
_IMPORTED: set[str] = set()  # files of the modules that `call` imported
_OURS = Path(__file__).parents[1]


def call(target: str, arguments: Mapping[str, object], folder: Path) -> Problem:
    r"""Call a function that returns a model and its tasks.

    Args:
        target: ``module:function``; ``folder`` is searched for the module first.
        arguments: Keyword arguments of the call.
        folder: The recipe's folder.

    Returns:
        The problem. A task without a fingerprint gets one from its examples and the module's source.

    Raises:
        DataError: The function cannot be found, is not defined in the module, fails, ends the program, or returns
            something else.
        Stopped: The call was interrupted.

    >>> import tempfile
    >>> source = "from foretaste.sources.digits import digits\nd = digits()\nproblem = lambda: (d.model, d.tasks)"
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "ours.py").write_text(source)
    ...     call("ours:problem", {}, Path(folder)).names
    ['low', 'mid', 'high']
    """
    name, _, attribute = target.partition(":")
    sys.path.insert(0, str(folder))
    _FOLDERS.add(folder.resolve())
    try:
        module = importlib.import_module(name)
        function = getattr(module, attribute)
        _check_defined_in(module, function, target, folder)
        _IMPORTED.add(str(module.__file__))
        model, tasks = _check_result(target, function(**arguments))
        source = inspect.getsource(module)
        marked = tuple(
            task if task.fingerprint else replace(task, fingerprint=_fingerprint(task, source)) for task in tasks
        )
    except ForetasteError:
        raise
    except KeyboardInterrupt:
        raise Stopped(f"interrupted while {target!r} was at work; nothing was written") from None
    except SystemExit as error:
        place = _place(error, name, folder)
        raise DataError(
            f"{target!r} called sys.exit({error.code!r}){place}; return the model and its tasks, or raise an error"
        ) from error
    except Exception as error:
        raise DataError(
            f"calling {target!r} failed: {type(error).__name__}: {error}{_place(error, name, folder)}"
        ) from error
    finally:
        if str(folder) in sys.path:
            sys.path.remove(str(folder))
    return Problem(model, marked, (("architecture", type(model).__name__), ("model", target)))


def _check_defined_in(module: ModuleType, function: object, target: str, folder: Path) -> None:
    """Check that the module itself defines the recipe's function, and neither imports it nor has it from Python."""
    file = getattr(module, "__file__", None)
    own = file is not None and Path(file).resolve().is_relative_to(folder.resolve())
    if not own and module.__name__.partition(".")[0] in sys.stdlib_module_names:
        raise DataError(
            f"{target!r} is part of Python itself; name a function of your own that returns (model, [Task, ...])"
        )
    if not callable(function):
        raise DataError(f"{target!r} is not a function; name a function that returns (model, [Task, ...])")
    home = getattr(function, "__module__", None)
    if home != module.__name__:
        raise DataError(
            f"{target!r} is not defined in {module.__name__} but in {home}; name the module that defines it"
        )


def users_fault(error: BaseException) -> RunFailed | None:
    """Turn an error of the user's own code into one that says so; return None for any other error.

    Args:
        error: The error that was caught. The user's code is in the modules that `call` imported, and in others of the
            recipe's folder.

    >>> users_fault(ValueError("ours")) is None
    True
    """
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]
    if not frames:
        return None
    what = (
        f"called sys.exit({error.code!r})"
        if isinstance(error, SystemExit)
        else f"failed: {type(error).__name__}: {error}"
    )
    last = frames[-1]
    return RunFailed(f"{last.name} in {last.filename}, line {last.lineno}, {what}; everything finished before is kept")


def _is_users(file: str) -> bool:
    if file in _IMPORTED:
        return True
    path = Path(file).resolve()
    near = any(path.is_relative_to(folder) for folder in _FOLDERS)
    return (
        near and "site-packages" not in file and not path.is_relative_to(_OURS)
    )  # an environment may lie in the recipe's folder


def _place(error: BaseException, name: str, folder: Path) -> str:
    """Describe where in the user's own code the error happened, or where their module was searched for."""
    if isinstance(error, ModuleNotFoundError) and error.name is not None and f"{name}.".startswith(f"{error.name}."):
        return (
            f"; it was looked for in {folder}, the recipe's folder, and where Python looks; write"
            f" {name.replace('.', '/')}.py there"
        )
    if isinstance(error, SyntaxError):
        return ""  # the error has its own place
    frames = traceback.extract_tb(error.__traceback__)[1:]  # the first frame is of this module
    module = sys.modules.get(name)
    files = {str(module.__file__)} if module is not None else set()
    near = [
        frame for frame in frames if "site-packages" not in frame.filename
    ]  # an environment may lie in the recipe's folder
    own = [
        frame
        for frame in near
        if frame.filename in files or Path(frame.filename).resolve().is_relative_to(folder.resolve())
    ]
    return f" ({own[-1].filename}, line {own[-1].lineno}, in {own[-1].name})" if own else ""


def _check_result(target: str, result: object) -> tuple[nn.Module, Sequence[Task]]:
    match result:
        case (nn.Module() as model, [*values]) if values:
            tasks = [task for task in values if isinstance(task, Task)]
            if len(tasks) == len(values):
                return model, tasks
    raise DataError(f"{target!r} returned {type(result).__name__}; it must return (model, [Task, ...])")


def _fingerprint(task: Task, source: str) -> str:
    return text_digest([examples_digest([task.train, task.validation]), source])
