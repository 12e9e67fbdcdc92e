"""The front door: a study and everything that can be done with it.

Commands, the page's jobs and notebooks call the same verbs.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from foretaste.document.markup import html
from foretaste.engines.choose import engine_for
from foretaste.engines.engine import Engine
from foretaste.evaluation import Evaluation
from foretaste.method_table import with_controls
from foretaste.methods.registry import last_with_params
from foretaste.plan import Recipe
from foretaste.report.sections.study import study_sections
from foretaste.report.summary import Summary
from foretaste.sources.problem import Problem
from foretaste.surface.comparison import Comparison
from foretaste.surface.mergeability import Mergeability
from foretaste.surface.preference import Floor, Preference
from foretaste.surface.race_result import RaceResult
from foretaste.surface.recommend import Recommendation
from foretaste.surface.searched import Budget, Progress, SearchResult
from foretaste.surface.table import Surface
from foretaste.weights import TaskWeights
from foretaste.work.context import Watch
from foretaste.workflow.compare import compare
from foretaste.workflow.confirm import confirm
from foretaste.workflow.export import export
from foretaste.workflow.fit import FittedTask, fit
from foretaste.workflow.mergeability import mergeability
from foretaste.workflow.mixing import RowFormat, export_mixture
from foretaste.workflow.outcome import read_outcome
from foretaste.workflow.points import grid
from foretaste.workflow.preview import preview
from foretaste.workflow.race import race
from foretaste.workflow.reopen import reopen
from foretaste.workflow.run import recommend_weights, run
from foretaste.workflow.search import search
from foretaste.workflow.session import Session
from foretaste.workflow.sharpen import sharpen_previews
from foretaste.workflow.start import start

__all__ = ["Study"]

_SHARPENED = 0.1  # of a joint run's steps


class Study:
    """A study with everything that can be done with it.

    Open one by `start` or `reopen`; close it, or use it in a ``with`` statement. No verb repeats work that the study
    has already.

    Args:
        session: The study, its recipe, and the engine that does the work.

    >>> from foretaste.workflow.example import small_study
    >>> with small_study(
    ...     "finetune: {steps: 1}, preview: {points: 3, methods: [simple]}, joint: {points: 0}"
    ... ) as session:
    ...     study = Study(session)
    ...     rows = study.preview()
    ...     study
    Study('a', 4 rows)
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    @classmethod
    def start(
        cls,
        recipe: Recipe,
        text: str,
        problem: Problem,
        folder: Path,
        *,
        watch: Watch | None = None,
        file: str | None = None,
        engine: Engine | None = None,
    ) -> "Study":
        """Open the study of a recipe, or create it; see `foretaste.workflow.start.start`, also for what it raises.

        Args:
            recipe: The recipe, already checked.
            text: The text of the recipe's file.
            problem: The recipe's model and tasks.
            folder: The study's folder.
            watch: Shows progress, and may ask to stop.
            file: The recipe's path; None where the problem was made in memory.
            engine: Does the work; as the recipe's ``resources`` say if left out.
        """
        return cls(start(recipe, text, problem, folder, watch, file=file, engine=engine or engine_for(recipe)))

    @classmethod
    def reopen(cls, folder: Path, watch: Watch | None = None, *, trust: bool = False) -> "Study":
        """Open a study that exists with the recipe that was last used; see `foretaste.workflow.reopen.reopen`.

        Args:
            folder: The study's folder.
            watch: Shows progress, and may ask to stop.
            trust: Whether the recipe's code may run, whoever made the study.
        """
        return cls(reopen(folder, watch, trust=trust))

    def close(self) -> None:
        """Close the study's files and end its worker processes."""
        self._session.engine.close()
        self._session.study.close()

    def __enter__(self) -> "Study":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Study({self.recipe.name!r}, {len(self.surface().rows)} rows)"

    def _repr_html_(self) -> str:
        return html(study_sections(self.summary(), full=False))

    @property
    def folder(self) -> Path:
        """The study's folder."""
        return self._session.study.path

    @property
    def recipe(self) -> Recipe:
        """The recipe that the study works by."""
        return self._session.recipe

    @property
    def problem(self) -> Problem:
        """The recipe's model and tasks."""
        return self._session.problem

    @property
    def watch(self) -> Watch:
        """What shows progress and may ask to stop."""
        return self._session.watch

    def watched_by(self, watch: Watch) -> "Study":
        """Return this study with another watch."""
        return Study(replace(self._session, watch=watch))

    def surface(self) -> Surface:
        """Read every evaluation so far."""
        return read_outcome(self._session.study).surface

    def summary(self, prefer: str | None = None, floors: list[str] | None = None) -> Summary:
        """Summarise the study for a report, under the recipe's preference and floors unless others are given."""
        return read_outcome(self._session.study, prefer, floors).summary()

    def fit(self, *, only_estimate: bool = False) -> dict[str, FittedTask]:
        """Train every task on its own and estimate its curvature; see `foretaste.workflow.fit.fit`."""
        return fit(self._session, only_estimate=only_estimate)

    def preview(self, points: Sequence[TaskWeights] = (), methods: Sequence[str] = ()) -> list[Evaluation]:
        """Merge the tasks' models at some weightings, evaluate the results, and return the rows, method by method.

        Args:
            points: Weightings; the recipe's, spread over the simplex, if left out.
            methods: Preview methods; the recipe's if left out. The methods to compare them with are added.

        Raises:
            TaskError: A method cannot preview these tasks.
        """
        self.fit()
        return preview(self._session, self._methods(methods), points or grid(self.recipe, self.problem))

    def race(
        self,
        preference: Preference,
        floors: Sequence[Floor] = (),
        points: Sequence[TaskWeights] = (),
        methods: Sequence[str] = (),
    ) -> list[RaceResult]:
        """Preview weightings, and evaluate only those that may be the best on all validation data.

        Args:
            preference: What to maximise.
            floors: What must hold.
            points: Weightings; those of the recipe if left out.
            methods: Preview methods; the recipe's if left out.
        """
        self.fit()
        where = points or grid(self.recipe, self.problem)
        return [race(self._session, method, where, preference, floors) for method in self._methods(methods)]

    def confirm(self, points: Sequence[TaskWeights] = ()) -> list[Evaluation]:
        """Preview some weightings, train jointly there too, and evaluate both.

        Args:
            points: Weightings; the recommended one if left out.

        Returns:
            The previews' rows, then the joint runs'.

        Raises:
            WeightsError: A task with a head of its own has no weight.
        """
        if not points:
            self.preview()
        where = list(points) or [self.recommended().weights]
        return [*self.preview(where), *confirm(self._session, where)]

    def train(self, points: Sequence[TaskWeights]) -> list[Evaluation]:
        """Train jointly at some weightings, evaluate, and preview the same weightings to compare with."""
        self.fit()
        rows = confirm(self._session, points)
        preview(self._session, self._methods(()), points)
        return rows

    def sharpen(
        self, points: Sequence[TaskWeights], steps: int | None = None, method: str | None = None
    ) -> list[Evaluation]:
        """Train previews for a few joint steps, and evaluate.

        Args:
            points: Weightings.
            steps: Joint steps; a tenth of a joint run's if left out.
            method: Preview method; the recipe's last one that has params if left out.
        """
        self.fit()
        steps = steps or max(1, round(_SHARPENED * self._session.joint_training.steps))
        return sharpen_previews(self._session, method or last_with_params(self.recipe.preview.methods), steps, points)

    def mergeability(self, methods: Sequence[str] = ()) -> Mergeability:
        """Measure whether the tasks' models can be merged; see `foretaste.workflow.mergeability.mergeability`."""
        return mergeability(self._session, methods)

    def compare(self, methods: Sequence[str] = (), steps: Sequence[int] = ()) -> Comparison:
        """Compare preview methods by the same joint runs; see `foretaste.workflow.compare.compare`."""
        return compare(self._session, methods, steps)

    def search(
        self,
        budget: Budget,
        preference: Preference | None,
        floors: Sequence[Floor] = (),
        *,
        tolerance: float = 0.002,
        on_progress: Callable[[Progress], None] = lambda progress: None,
    ) -> SearchResult:
        """Search for the best weights within a budget; see `foretaste.workflow.search.search`."""
        return search(self._session, budget, preference, floors, tolerance=tolerance, on_progress=on_progress)

    def run(self) -> Recommendation:
        """Fit, preview, check by joint runs, recommend, confirm; see `foretaste.workflow.run.run`."""
        return run(self._session)

    def recommended(self) -> Recommendation:
        """Recommend weights from everything evaluated so far.

        Raises:
            StudyError: The study has too few evaluations to predict from.
        """
        return recommend_weights(self._session)

    def export(
        self, target: Path, weights: TaskWeights | None = None, method: str | None = None, *, overwrite: bool = False
    ) -> dict[str, object]:
        """Write a preview or a joint run as a model; see `foretaste.workflow.export.export`.

        Args:
            target: A folder that does not exist yet.
            weights: Task weights; the recommended ones if left out.
            method: A preview method, or ``joint``.
            overwrite: Whether a folder that foretaste wrote is replaced.
        """
        return export(self._session, target, weights or self.recommended().weights, method, overwrite=overwrite)

    def export_mixture(
        self,
        target: Path,
        weights: TaskWeights | None = None,
        *,
        form: RowFormat = "parquet",
        trainers: Sequence[str] = (),
        overwrite: bool = False,
    ) -> dict[str, object]:
        """Write the training rows of a joint run; see `foretaste.workflow.mixing.export_mixture`.

        Args:
            target: A folder that does not exist yet.
            weights: Task weights; the recommended ones if left out.
            form: Format of the rows' file.
            trainers: Trainers to write configurations for.
            overwrite: Whether a folder that foretaste wrote is replaced.
        """
        where = weights or self.recommended().weights
        return export_mixture(self._session, target, where, form=form, names=trainers, overwrite=overwrite)

    def _methods(self, methods: Sequence[str]) -> list[str]:
        return with_controls(methods or self.recipe.preview.methods)
