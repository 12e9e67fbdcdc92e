"""A recipe at work on its study, as most commands need it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from foretaste.cli.arguments import again, variables
from foretaste.engines.choose import engine_for
from foretaste.errors import Stopped
from foretaste.one_line import one_line
from foretaste.recipe import Recipe, read
from foretaste.report.progress import watching
from foretaste.sources.problem import Problem
from foretaste.study.study import Study
from foretaste.surface.preference import Floor, Preference
from foretaste.weights import TaskWeights
from foretaste.workflow.check import check
from foretaste.workflow.goal import read_goal
from foretaste.workflow.start import start

__all__ = ["Request", "working"]


@dataclass(frozen=True)
class Request:
    """What a command is asked to do, before there is a study.

    Args:
        recipe: The checked recipe.
        problem: Its model and tasks.
        folder: Where the study is, or will be.
        points: The given weights.
    """

    recipe: Recipe
    problem: Problem
    folder: Path
    points: Sequence[TaskWeights]

    __repr__ = one_line

    def goal(self, prefer: str | None, floor: Sequence[str] | None) -> tuple[Preference, list[Floor]]:
        """Read the given preference and floors, or those of the recipe; see `foretaste.workflow.goal.read_goal`."""
        return read_goal(prefer, floor, self.recipe.recommend, self.problem.names)


@contextmanager
def working(
    file: Path,
    study: Path | None,
    var: list[str] | None,
    command: Sequence[str],
    weights: Sequence[str] | None = None,
    accept: Callable[[Request], None] | None = None,
    workers: int | None = None,
) -> Iterator[tuple[Study, list[TaskWeights]]]:
    """Open a recipe's study, with the given weights; if it is stopped, say how to resume.

    Args:
        file: The recipe's.
        study: The folder; if left out, in the current one, named like the recipe's file.
        var: Values of the recipe's variables.
        command: As typed, to say how to go on.
        weights: As typed.
        accept: Checks the command's own options and raises if they cannot be used; called before anything is created.
        workers: How many processes do the work.
    """
    plan, content = read(file, variables(var))
    folder = study or Path(f"{file.stem}.study")
    resume = again([*command, *([] if workers is None else ["--workers", str(workers)])], study, var, weights)
    engine = engine_for(plan, workers)
    engine.warm_up()  # while the model and the data are loaded here
    with watching(Console(stderr=True)) as watch:
        checked, problem = check(plan, content, str(file), watch)
        for warning in checked.warnings:
            watch.say(f"warning: {warning}")
        points = [TaskWeights.parse(text, problem.names) for text in weights or ()]
        if accept is not None:
            accept(Request(plan, problem, folder, points))
        session = start(plan, content, problem, folder, watch, file=str(file), engine=engine)
        with Study.of(session) as opened:
            try:
                yield opened, points
            except (Stopped, KeyboardInterrupt):
                raise Stopped(f"everything finished so far is kept in {folder}; go on with: {resume}") from None
