"""The verbs of a study that write files for other tools: models, data mixtures, and jobs for other trainers."""

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from foretaste.study.outside import OutsideVerbs
from foretaste.weights import TaskWeights
from foretaste.workflow.export import Export, choose_written, export
from foretaste.workflow.goal import Floors, Prefer
from foretaste.workflow.jobs import Job, ask_jobs, write_pending_jobs
from foretaste.workflow.mixing import RowFormat, export_mixture
from foretaste.workflow.points import Weighting
from foretaste.workflow.session import Session

__all__ = ["ExportVerbs"]


class ExportVerbs(OutsideVerbs):
    """A study whose model and data can be loaded, so that other tools get files of it."""

    @abstractmethod
    def _at_work(self) -> AbstractContextManager[Session]:
        """Show progress, and lend the session; model and data are loaded if no verb has needed them yet.

        Raises:
            StudyError: The study has no model here.
        """

    def export(
        self,
        to: str | Path,
        weights: Weighting | None = None,
        method: str | None = None,
        *,
        joint: bool = False,
        rank: int | None = None,
        push: str | None = None,
        private: bool = False,
        overwrite: bool = False,
    ) -> Export:
        """Write a preview or a joint run as a model; see `foretaste.workflow.export.export`.

        Args:
            to: A folder that does not exist yet.
            weights: Task weights; the recommended ones if left out.
            method: A preview method; the recipe's last one that has params if left out.
            joint: Whether the joint run is written in place of a preview; it is trained if there is none.
            rank: The largest rank of a merged adapter, where models are trained by LoRA.
            push: Name of a repository on the Hugging Face hub that the folder is uploaded to, too.
            private: Whether a new repository is for its owner alone.
            overwrite: Whether a folder that foretaste wrote is replaced.
        """
        with self._at_work() as session:
            name = choose_written(method, joint=joint)
            where = self._weights(session, weights)
            return export(session, Path(to), where, name, rank=rank, push=push, private=private, overwrite=overwrite)

    def export_mixture(
        self,
        to: str | Path,
        weights: Weighting | None = None,
        *,
        mixture: RowFormat = "jsonl",
        trainers: Sequence[str] = (),
        overwrite: bool = False,
    ) -> Export:
        """Write the training rows of a joint run; see `foretaste.workflow.mixing.export_mixture`.

        Args:
            to: A folder that does not exist yet.
            weights: Task weights; the recommended ones if left out.
            mixture: Format of the rows' file.
            trainers: Trainers to write configurations for.
            overwrite: Whether a folder that foretaste wrote is replaced.
        """
        with self._at_work() as session:
            where = self._weights(session, weights)
            return export_mixture(session, Path(to), where, form=mixture, names=trainers, overwrite=overwrite)

    def ask_jobs(
        self,
        to: str | Path,
        trainer: str,
        count: int = 1,
        *,
        prefer: Prefer | None = None,
        floors: Floors | None = None,
        expire_hours: float | None = None,
        pending: bool = False,
    ) -> list[Job]:
        """Propose joint runs, and write a folder for each in which another trainer makes it.

        Args:
            to: The folder that holds the jobs' folders.
            trainer: ``trl``, ``axolotl``, ``llama-factory`` or ``nemo-automodel``.
            count: How many runs. If an earlier call was interrupted, only the folders that it left out are written.
            prefer: What to maximise; the study's if left out.
            floors: What must hold; the study's if left out.
            expire_hours: Forget proposals that were made longer ago than this.
            pending: Propose nothing; write the joint runs that wait for their results and have no job in the folder.

        Raises:
            BadInput: The trainer cannot train this model on these rows, or a folder exists. Nothing is proposed.
        """
        with self._at_work() as session:
            if pending:
                return write_pending_jobs(session, Path(to), trainer)
            return ask_jobs(session, Path(to), trainer, count, prefer=prefer, floors=floors, expire_hours=expire_hours)

    def _weights(self, session: Session, weights: Weighting | None) -> TaskWeights:
        return self.recommend().weights if weights is None else TaskWeights.read(weights, session.problem.names)
