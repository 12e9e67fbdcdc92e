"""The verbs of a study whose runs are made elsewhere: tell results, and ask what to run next."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from foretaste.sources.run_tables import TableSource
from foretaste.study.reader import StudyReader
from foretaste.weights import TaskWeights
from foretaste.workflow.ask import PendingRun, ask, drop_pending, pending_runs
from foretaste.workflow.goal import Floors, Prefer
from foretaste.workflow.outcome import empty_surface
from foretaste.workflow.points import Weighting
from foretaste.workflow.run_columns import TableOptions
from foretaste.workflow.tell import OutsideRun, TellResult, read_metrics, read_weights, tell
from foretaste.workflow.tell_jobs import tell_jobs
from foretaste.workflow.tell_rows import TablePreview, preview_table, tell_rows

__all__ = ["OutsideVerbs"]

_Metrics = Mapping[str, float | Mapping[str, float]]


class OutsideVerbs(StudyReader):
    """A study that learns from runs which other programs make."""

    def tell(
        self,
        weights: Weighting,
        metrics: _Metrics,
        *,
        fidelity: str = "joint",
        seed: int = 0,
        cost: float | None = None,
        replace: bool = False,
    ) -> TellResult:
        """Add the result of one run; telling it again changes nothing.

        Args:
            weights: What was mixed, as text such as ``code=0.5,chat=0.5``, by name, or as `TaskWeights`.
            metrics: By task, the value of its first metric, or values by metric.
            fidelity: ``joint``, ``preview:METHOD``, or a name of your own for a cheap run, such as ``proxy-60m``.
            seed: Seed of the run; another run at the same weights needs another seed.
            cost: Cost of such a run as a share of a joint run.
            replace: Whether numbers that differ from those of the study take their place.

        Raises:
            DataError: An unknown task or metric, or other numbers than the study has.
            WeightsError: The weights cannot be read.
        """
        with self._reading() as study:
            surface = empty_surface(study)
            if isinstance(weights, str):
                weights = TaskWeights.parse(weights, surface.weight_names)
            point = read_weights(surface, weights)
            run = OutsideRun(point, read_metrics(surface, metrics), fidelity, seed, cost)
            return tell(study, [run], replace_numbers=replace)

    def tell_rows(
        self,
        source: TableSource,
        *,
        columns: Mapping[str, str] | None = None,
        fidelity: str = "joint",
        seed: int = 0,
        cost: float | None = None,
        normalise: bool = False,
        skip_bad: bool = False,
        replace: bool = False,
    ) -> TellResult:
        """Add all runs of a table, or none; see `foretaste.workflow.tell_rows.tell_rows`.

        Args:
            source: A CSV, JSON-lines or Parquet file, a data frame, a data set, or a list of rows.
            columns: What columns hold, if their names do not say it, such as ``{"code.pass@1": "humaneval"}``.
            fidelity: Of rows that do not name one; see `tell`.
            seed: Of rows that do not name one.
            cost: Cost of such a run as a share of a joint run.
            normalise: Whether weights are divided by their sum, as percentages and counts of tokens need it.
            skip_bad: Whether rows that cannot be read are left out.
            replace: Whether numbers that differ from those of the study take their place.

        Raises:
            DataError: Rows that cannot be read, each with its place; or other numbers than the study has.
        """
        options = TableOptions(columns, fidelity, seed, cost, normalise)
        with self._reading() as study:
            return tell_rows(study, source, options, skip_bad=skip_bad, replace_numbers=replace)

    def tell_jobs(self, folder: str | Path, *, skip_bad: bool = False, replace: bool = False) -> TellResult:
        """Add the results of all jobs in a folder that have any; see `foretaste.workflow.tell_jobs.tell_jobs`.

        Args:
            folder: A job's folder, or one that holds jobs' folders.
            skip_bad: Whether jobs whose results cannot be used are left out.
            replace: Whether numbers that differ from those of the study take their place.

        Raises:
            DataError: There is no job, a job's results cannot be used, or the study has other numbers.
        """
        with self._reading() as study:
            return tell_jobs(study, Path(folder), skip_bad=skip_bad, replace_numbers=replace)

    def preview_table(self, source: TableSource, *, columns: Mapping[str, str] | None = None) -> TablePreview:
        """Show what the columns of a table hold; nothing is written.

        Args:
            source: A CSV, JSON-lines or Parquet file, a data frame, a data set, or a list of rows.
            columns: What columns hold, if their names do not say it; see `tell_rows`.

        Raises:
            DataError: The table cannot be read, or has no columns of weights or metrics.
        """
        with self._reading() as study:
            return preview_table(study, source, TableOptions(columns))

    def ask(
        self,
        count: int = 1,
        *,
        fidelity: str = "joint",
        prefer: Prefer | None = None,
        floors: Floors | None = None,
        expire_hours: float | None = None,
    ) -> list[TaskWeights]:
        """Propose the weights of runs to make next, and remember them until their results are told.

        Args:
            count: How many runs.
            fidelity: How they will be run; see `tell`.
            prefer: What to maximise; the study's if left out.
            floors: What must hold; the study's if left out.
            expire_hours: Forget proposals that were made longer ago than this.

        Raises:
            StudyError: Nothing is left to propose.
            WeightsError: A count below 1, or a preference or floor that is not understood.
        """
        with self._reading() as study:
            runs = ask(study, count, fidelity, prefer=prefer, floors=floors, expire_hours=expire_hours)
        return [run.weights for run in runs]

    @property
    def pending(self) -> list[PendingRun]:
        """The runs that were proposed, and whose results are not told yet."""
        with self._reading() as study:
            return pending_runs(study)

    def drop(self, points: Sequence[Weighting] | None = None) -> list[PendingRun]:
        """Forget proposals, and return them.

        Args:
            points: The weights of the proposals; all that are pending if left out.

        Raises:
            WeightsError: The weights cannot be read.
            StudyError: No run at these weights is pending.
        """
        with self._reading() as study:
            names = empty_surface(study).weight_names
            return drop_pending(study, None if points is None else [TaskWeights.read(point, names) for point in points])
