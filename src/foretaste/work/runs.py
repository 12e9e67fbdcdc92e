"""Training runs: one task alone, or all tasks jointly."""

from dataclasses import dataclass, replace

from foretaste.params import Params
from foretaste.sources.expert import fit_to_model
from foretaste.sources.site_file import load_site
from foretaste.store.study import Done, Json
from foretaste.train.finetune import finetune
from foretaste.train.joint import joint
from foretaste.train.run import Snapshot, Trained
from foretaste.train.training import Training, settings_of
from foretaste.weights import TaskWeights
from foretaste.work.context import Context
from foretaste.work.imported_models import ImportedModel, check_unchanged, imported_models
from foretaste.work.observer import Observer
from foretaste.work.results import Run
from foretaste.work.work import Computation, TrainingPiece

__all__ = ["ImportedRun", "JointRun", "SingleTaskRun", "TaskRun", "single_task_run"]

_STRIDE = 1000  # between the seeds of one task's runs


@dataclass(frozen=True)
class SingleTaskRun(TrainingPiece[Run]):
    """Finetuning on one task.

    Args:
        task: The task's name.
        member: 0 for the task's model; other numbers for further runs, which differ by their seed.
    """

    task: str
    member: int = 0

    stage = "single-task finetuning"
    kind = "finetune"

    @property
    def run_name(self) -> str:
        return self.task + (f" run {self.member + 1}" if self.member else "")

    def __str__(self) -> str:
        return f"finetuning on task {self.task!r}" + (f", run {self.member + 1}" if self.member else "")

    def inputs(self, context: Context) -> dict[str, object]:
        return {**_task_inputs(context, self.task), "training": settings_of(self.training(context))}

    def train(self, context: Context, start: Snapshot | None, observer: Observer) -> Trained:
        return finetune(
            context.problem.model,
            None,
            context.task(self.task),
            self.training(context),
            start=start,
            observer=observer,
        )

    def read(self, context: Context, done: Done) -> Run:
        return Run.of(done)

    def training(self, context: Context) -> Training:
        training = context.training_of(self.task)
        return replace(training, seed=training.seed + _STRIDE * self.member)


@dataclass(frozen=True)
class ImportedRun(Computation[Run]):
    """A task's model that was trained elsewhere; it takes the place of a single-task run.

    Args:
        task: The task's name.
        digest: The hash of the imported files.
    """

    task: str
    digest: str

    stage = "single-task finetuning"
    kind = "finetune"

    def __str__(self) -> str:
        return f"reading the imported model of task {self.task!r}"

    def size(self, context: Context) -> int:
        return context.training_of(self.task).steps

    def inputs(self, context: Context) -> dict[str, object]:
        return {**_task_inputs(context, self.task), "import": self.digest}

    def make(self, context: Context, observer: Observer) -> tuple[Json, Params]:
        imported = self._imported(context)
        check_unchanged(imported)
        expert, task, model = imported.expert, context.task(self.task), context.problem.model
        if expert.kind == "site":
            site = load_site(expert.files[0])
            params = fit_to_model(model, task, {**site.center, **site.carried}, expert.folder)
        else:
            params = context.problem.read(model, task, expert)
        return {"history": [], "seen": {}, "imported": str(expert.folder)}, params

    def read(self, context: Context, done: Done) -> Run:
        return Run.of(done)

    def _imported(self, context: Context) -> ImportedModel:
        return imported_models(context.study)[self.task]


TaskRun = SingleTaskRun | ImportedRun


def single_task_run(context: Context, task: str) -> TaskRun:
    """Return the run of a task's model: the imported model if there is one, finetuning on the task otherwise."""
    imported = imported_models(context.study).get(task)
    return SingleTaskRun(task) if imported is None else ImportedRun(task, imported.digest)


@dataclass(frozen=True)
class JointRun(TrainingPiece[Run]):
    """Joint finetuning of all tasks.

    Args:
        weights: Task weights, alpha.
    """

    weights: TaskWeights

    stage = "joint finetuning"
    kind = "joint"

    @property
    def run_name(self) -> str:
        return f"joint {self.weights}"

    def __str__(self) -> str:
        return f"joint finetuning at {self.weights}"

    def training(self, context: Context) -> Training:
        return context.joint_training

    def inputs(self, context: Context) -> dict[str, object]:
        return {
            "base": context.base,
            "data": context.data,
            "weights": self.weights.key,
            "training": settings_of(self.training(context)),
            "realise": context.recipe.joint.realise,
        }

    def train(self, context: Context, start: Snapshot | None, observer: Observer) -> Trained:
        model, tasks, realise = context.problem.model, context.problem.tasks, context.recipe.joint.realise
        return joint(
            model, None, tasks, self.weights, self.training(context), realise=realise, start=start, observer=observer
        )

    def read(self, context: Context, done: Done) -> Run:
        return Run.of(done)


def _task_inputs(context: Context, name: str) -> dict[str, object]:
    return {"base": context.base, "task": [name, context.task(name).identity]}
