"""Everything in a study that can be read without its model: rows, summaries, recommendations, figures and pages."""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from foretaste.document.markup import html
from foretaste.document.wording import counted
from foretaste.errors import ForetasteError
from foretaste.evaluation import Evaluations
from foretaste.report.figures import PlotKind, plot_study
from foretaste.report.sections.study import study_sections
from foretaste.report.summary import Summary
from foretaste.report.writing import write_report
from foretaste.store.study import StudyStore
from foretaste.study.explorer import Explorer, start_explorer
from foretaste.surface.recommend import Recommendation
from foretaste.surface.table import Surface
from foretaste.target import REPORT
from foretaste.workflow.goal import Floors, Prefer
from foretaste.workflow.outcome import read_outcome
from foretaste.workflow.run import recommend_weights

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["StudyReader"]


class StudyReader(ABC):
    """A study as far as it can be read without its model."""

    @property
    @abstractmethod
    def folder(self) -> Path:
        """The study's folder."""

    @abstractmethod
    def _reading(self) -> AbstractContextManager[StudyStore]:
        """Open the study's rows, or lend them if they are open."""

    def __repr__(self) -> str:
        try:
            with self._reading() as study:
                stored, rows = study.recipe(), study.evaluations_after(0)[0]
        except ForetasteError:
            return f"Study({str(self.folder)!r}, cannot be read)"
        name = self.folder.stem if stored is None else stored[1]["name"]
        return f"Study({name!r}, {counted(len(rows), 'row')})"

    def _repr_html_(self) -> str:
        try:
            return html(study_sections(self.summary(), full=False))
        except ForetasteError as error:
            return f"<pre>{escape(f'{self!r}: {error}')}</pre>"

    @property
    def rows(self) -> Evaluations:
        """Every evaluation so far, in the order in which they were made."""
        return Evaluations(self.surface().rows)

    def surface(self) -> Surface:
        """Read every evaluation so far, with the tasks' headline metrics."""
        with self._reading() as study:
            return read_outcome(study).surface

    def summary(self, prefer: Prefer | None = None, floors: Floors | None = None, method: str | None = None) -> Summary:
        """Summarise the study: the recommendation, the best previews, and how far to trust them.

        Args:
            prefer: ``mean``, ``worst``, ``knee``, ``movies=2,news=1`` or numbers by task; the recipe's if left out.
            floors: Bounds such as ``news>=0.85`` or ``all>=97%``; the recipe's if left out.
            method: A preview method, if the recommendation is to rest on its previews alone.

        Raises:
            StudyError: The study has no previews by this method.
            WeightsError: The preference or a floor cannot be read.
        """
        with self._reading() as study:
            return read_outcome(study, prefer, floors, method, with_curves=True).summary(method)

    def show(self, prefer: Prefer | None = None, floors: Floors | None = None, method: str | None = None) -> Summary:
        """Show the study, as ``foretaste show`` does; see `summary`."""
        return self.summary(prefer, floors, method)

    def recommend(
        self, prefer: Prefer | None = None, floors: Floors | None = None, method: str | None = None
    ) -> Recommendation:
        """Recommend weights from everything evaluated so far; see `summary` for the arguments.

        Raises:
            StudyError: The study has too few evaluations to predict from.
        """
        with self._reading() as study:
            return recommend_weights(study, prefer, floors, method)

    def plot(
        self,
        kind: PlotKind | None = None,
        task: str | None = None,
        *,
        prefer: Prefer | None = None,
        floors: Floors | None = None,
    ) -> "Figure":
        """Draw the study as a Plotly figure; see `foretaste.report.figures.plot_study`.

        Args:
            kind: ``curve`` (two weights), ``map`` (three), ``front``, or ``agreement`` of previews with joint runs. If
                left out, the curve, the map, or for more weights all weights and metrics.
            task: The task whose metric the curve and the map draw; what the preference gives if left out.
            prefer: What to maximise; the recipe's if left out.
            floors: What must hold; the recipe's if left out.

        Raises:
            StudyError: The study has nothing to draw, or not for so many weights.
        """
        return plot_study(self.summary(prefer, floors), kind, task)

    def report(
        self,
        path: str | Path | None = None,
        *,
        prefer: Prefer | None = None,
        floors: Floors | None = None,
        method: str | None = None,
        overwrite: bool = False,
    ) -> Path:
        """Write the study's page as one HTML file that works offline, and return its path.

        Args:
            path: The file; the study's own ``report.html`` if left out.
            prefer: What to maximise; the recipe's if left out.
            floors: What must hold; the recipe's if left out.
            method: A preview method, if the recommendation is to rest on its previews alone.
            overwrite: Whether a file that foretaste did not write is replaced.

        Raises:
            StorageError: The file exists, or cannot be written.
        """
        file = self.folder / REPORT if path is None else Path(path)
        return write_report(self.summary(prefer, floors, method), file, overwrite=overwrite)

    def explore(self, *, port: int = 0, resume: bool = False, trust: bool = False) -> Explorer:
        """Serve the explorer on this machine, and show it: inside a notebook in a frame, else by its address.

        Args:
            port: Port to listen on; any free one if left out.
            resume: Whether work that was requested before and still waits starts at once.
            trust: Whether a study that somebody else made may run its own Python code.

        Raises:
            MissingExtra: The packages of the extra ``web`` are not installed.
            StudyError: The study is empty, or the port cannot be listened on.
        """
        return start_explorer(self.folder, port=port, resume=resume, trust=trust)
