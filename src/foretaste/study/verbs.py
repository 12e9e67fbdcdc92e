"""The verbs of a study that need its model: training, previews, joint runs and searches."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from foretaste.evaluation import Evaluations
from foretaste.method_table import read_methods, with_controls
from foretaste.methods.registry import last_with_params
from foretaste.plan import Recipe
from foretaste.report.sections.search import describe_step
from foretaste.sources.problem import Problem
from foretaste.study.exports import ExportVerbs
from foretaste.surface.comparison import Comparison
from foretaste.surface.mergeability import Mergeability
from foretaste.surface.race_result import Races
from foretaste.surface.recommend import Recommendation
from foretaste.surface.searched import FRONT, Budget, Progress, SearchResult
from foretaste.workflow.check import CheckResult, check_problem
from foretaste.workflow.compare import compare
from foretaste.workflow.confirm import confirm
from foretaste.workflow.experts import ImportResult, import_and_read
from foretaste.workflow.fit import FittedTasks, fit, measure_fits
from foretaste.workflow.goal import Floors, Prefer, read_goal
from foretaste.workflow.mergeability import mergeability
from foretaste.workflow.points import Points, read_points
from foretaste.workflow.preview import preview
from foretaste.workflow.race import race
from foretaste.workflow.run import run
from foretaste.workflow.search import search
from foretaste.workflow.session import Session
from foretaste.workflow.sharpen import sharpen_previews

__all__ = ["StudyVerbs"]

_SHARPENED = 0.1  # of a joint run's steps
Methods = str | Sequence[str]


class StudyVerbs(ExportVerbs):
    """A study whose model and data can be loaded, so that it can be worked on.

    Every verb here raises Stopped if the user asks to stop, and RunFailed if some work failed; finished work is kept.
    """

    @property
    def recipe(self) -> Recipe:
        """The recipe that the study works by."""
        with self._at_work() as session:
            return session.recipe

    @property
    def problem(self) -> Problem:
        """The recipe's model and tasks."""
        with self._at_work() as session:
            return session.problem

    def check(self) -> CheckResult:
        """Check every label, try a batch of every task, and count the work that the recipe asks for."""
        with self._at_work() as session:
            return check_problem(session.recipe, session.problem, "", str(self.folder), session.watch)

    def fit(self, *, estimate: Literal["fisher"] | None = None) -> FittedTasks:
        """Train every task on its own, estimate its curvature, and measure each model before and after training.

        Args:
            estimate: Train nothing, and only estimate the curvature of imported models.
        """
        with self._at_work() as session:
            return measure_fits(session, fit(session, only_estimate=estimate is not None))

    def preview(self, points: Points | None = None, methods: Methods = ()) -> Evaluations:
        """Merge the tasks' models at some weightings, evaluate the results, and return the rows, method by method.

        Args:
            points: Weightings, as text such as ``a=0.5,b=0.5``, by task, or as `TaskWeights`; or how many all over the
                simplex. As the recipe says if left out.
            methods: Preview methods; the recipe's if left out. The methods to compare them with are added.

        Raises:
            TaskError: A method cannot preview these tasks.
        """
        with self._at_work() as session:
            names, where = _methods(session, methods), read_points(points, session.recipe, session.problem)
            fit(session)
            return Evaluations(preview(session, names, where))

    def race(
        self,
        prefer: Prefer | None = None,
        floors: Floors | None = None,
        points: Points | None = None,
        methods: Methods = (),
    ) -> Races:
        """Preview weightings, and evaluate only those that may be the best on all validation data.

        Args:
            prefer: ``mean``, ``worst``, ``knee``, ``movies=2,news=1`` or numbers by task; the recipe's if left out.
            floors: Bounds such as ``news>=0.85`` or ``all>=97%``; the recipe's if left out.
            points: Weightings; see `preview`.
            methods: Preview methods; the recipe's if left out.
        """
        with self._at_work() as session:
            preference, bounds = read_goal(prefer, floors, session.recipe.recommend, session.problem.names)
            names, where = _methods(session, methods), read_points(points, session.recipe, session.problem)
            fit(session)
            return Races(race(session, method, where, preference, bounds) for method in names)

    def confirm(self, points: Points | None = None) -> Evaluations:
        """Preview some weightings, train jointly there too, and evaluate both.

        Args:
            points: Weightings; the recommended one if left out.

        Returns:
            The previews' rows, then the joint runs'.

        Raises:
            WeightsError: A task with a head of its own has no weight.
        """
        with self._at_work() as session:
            if not points:
                self.preview()
            where = read_points(points, session.recipe, session.problem) if points else [self.recommend().weights]
            return Evaluations([*self.preview(where), *confirm(session, where)])

    def train(self, points: Points) -> Evaluations:
        """Train jointly at some weightings, preview the same weightings to compare, and return the joint runs' rows.

        Args:
            points: Weightings; see `preview`.

        Raises:
            WeightsError: The weightings cannot be read, or a task with a head of its own has no weight.
        """
        with self._at_work() as session:
            where = read_points(points, session.recipe, session.problem)
            fit(session)
            rows = Evaluations(confirm(session, where))
            preview(session, _methods(session, ()), where)
            return rows

    def sharpen(self, points: Points, steps: int | None = None, method: str | None = None) -> Evaluations:
        """Train previews for a few joint steps, and evaluate.

        Args:
            points: Weightings; see `preview`.
            steps: Joint steps; a tenth of a joint run's if left out.
            method: Preview method; the recipe's last one that has params if left out.
        """
        with self._at_work() as session:
            where = read_points(points, session.recipe, session.problem)
            fit(session)
            count = steps or max(1, round(_SHARPENED * session.joint_training.steps))
            name = method or last_with_params(session.recipe.preview.methods)
            return Evaluations(sharpen_previews(session, name, count, where))

    def mergeability(self, methods: Methods = ()) -> Mergeability:
        """Measure whether the tasks' models can be merged; see `foretaste.workflow.mergeability.mergeability`.

        Args:
            methods: Preview methods to check at the corners; the recipe's that train nothing more if left out.

        Raises:
            BadInput: There is no such method, one is named twice, or one cannot preview these tasks.
        """
        with self._at_work() as session:
            return mergeability(session, read_methods(methods))

    def compare(self, methods: Methods = (), sharpen: Sequence[int] = ()) -> Comparison:
        """Compare preview methods by the same joint runs; see `foretaste.workflow.compare.compare`.

        Args:
            methods: Preview methods; all if left out.
            sharpen: Also sharpen each preview by so many joint steps.
        """
        with self._at_work() as session:
            return compare(session, read_methods(methods), sharpen)

    def search(
        self,
        *,
        joint: int = 5,
        previews: int = 100,
        sharpened: int = 0,
        prefer: Prefer | None = None,
        floors: Floors | None = None,
        tolerance: float = 0.002,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> SearchResult:
        """Search for the best weights within a budget; see `foretaste.workflow.search.search`.

        Args:
            joint: How many joint runs there may be in all.
            previews: How many previews.
            sharpened: How many previews sharpened by a tenth of a joint run.
            prefer: As for `race`, or ``front`` for the whole Pareto front; the recipe's if left out.
            floors: As for `race`.
            tolerance: Stop when a joint run is expected to gain less than this share of what there is to choose.
            on_progress: Called before every step; a line is shown if left out.
        """
        budget = Budget.parse(f"joint={joint},previews={previews},sharpened={sharpened}")
        with self._at_work() as session:
            tell = on_progress or (lambda progress: session.watch.say(describe_step(progress, budget)))
            own, names = session.recipe.recommend, session.problem.names
            preference, bounds = read_goal(None if prefer == FRONT else prefer, floors, own, names)
            target = None if prefer == FRONT else preference
            return search(session, budget, target, bounds, tolerance=tolerance, on_progress=tell)

    def run(self) -> Recommendation:
        """Fit, preview, check by joint runs, recommend, confirm; see `foretaste.workflow.run.run`."""
        with self._at_work() as session:
            return run(session)

    def import_(
        self,
        tasks: Mapping[str, str | Path],
        base: str | Path | None = None,
        *,
        vocabulary: Literal["base"] | None = None,
        remove: Sequence[str] = (),
    ) -> ImportResult:
        """Import models that were trained elsewhere; see `foretaste.workflow.experts.import_and_read`.

        Args:
            tasks: Each task's folder: a checkpoint, a LoRA adapter, or a site file.
            base: The pretrained checkpoint.
            vocabulary: ``base`` leaves out tokens that the models added.
            remove: Tasks whose imported models are removed first.

        Raises:
            BadInput: There is nothing to import or to remove, or models do not fit. Then the study stays as it was.
        """
        with self._at_work() as session:
            folders = {task: Path(folder) for task, folder in tasks.items()}
            return import_and_read(session, folders, None if base is None else Path(base), vocabulary, remove)


def _methods(session: Session, methods: Methods) -> list[str]:
    return with_controls(read_methods(methods) or session.recipe.preview.methods)
