"""What a study will cost, from its size alone: trainings, evaluations, disk and memory.

For `P` trained and `F` frozen params of `b` bytes each, `M` merged numbers (the trained params; with LoRA, the weights
that have factors), `T` tasks, `J` joint runs and `K` numbers of curvature per merged number, a study keeps
`b (T (P + K M) + J P)` bytes: each task's model and curvature, and each joint run. Training holds `b (F + 4 P)` bytes:
the model, the gradients and the optimiser's two moments. Merging holds `b (F + P + M + T (P + K M))` bytes: the model,
the merged numbers, and every task's model and curvature.
"""

from dataclasses import dataclass

__all__ = ["KRONECKER", "StudyCost", "StudySize", "study_cost"]

KRONECKER = 3.0  # numbers of Kronecker factors per param, for square layers

_TRAINING = 4  # numbers per trained param: the param, its gradient and two moments of AdamW


@dataclass(frozen=True)
class StudySize:
    """The size of a study.

    Args:
        trained: Params that are trained; with LoRA, those of the factors and new heads.
        frozen: Params that keep the pretrained values.
        tasks: How many tasks there are.
        joint_runs: Joint runs, confirmation included.
        previews: Weightings that are previewed.
        methods: Preview methods.
        merged: Numbers that are merged; those of the trained params if left out, as for LoRA without curvature. With
            curvature, LoRA merges the entries of the weights that have factors, and new heads.
        curvature: Numbers of curvature per merged number: 1 for the diagonal, which `run` estimates, and
            `KRONECKER` more for the methods `kronecker` and `anchored` (the default).
        steps: Steps of a run.
        joint_steps: Steps of a joint run, if these are others.
        task_steps: Steps of all single-task runs together; so many times ``steps`` as there are tasks if left out.
        bytes_per_param: Bytes of a param; 4 for float32.
    """

    trained: int
    frozen: int = 0
    merged: int | None = None
    tasks: int = 2
    joint_runs: int = 8
    previews: int = 66
    methods: int = 2
    curvature: float = 1 + KRONECKER
    steps: int = 300
    joint_steps: int | None = None
    task_steps: int | None = None
    bytes_per_param: int = 4


@dataclass(frozen=True)
class StudyCost:
    """What a study costs.

    Args:
        trainings: Training runs, of single tasks and of all.
        training_steps: Steps of all training runs together.
        evaluations: Times that the validation data of all tasks is evaluated.
        disk_bytes: Bytes of the finished study; rows and examples' results are left out, and are small.
        memory_bytes: Largest memory for params, in training or in merging; activations and the libraries come on top.
    """

    trainings: int
    training_steps: int
    evaluations: int
    disk_bytes: int
    memory_bytes: int


def study_cost(size: StudySize) -> StudyCost:
    """Return what a study of a size will cost, without opening a model or data.

    Examples:
        >>> cost = study_cost(StudySize(trained=100_000_000, tasks=3, joint_runs=8, curvature=1))
        >>> cost.trainings, cost.evaluations, cost.disk_bytes / 1e9, cost.memory_bytes / 1e9
        (11, 140, 5.6, 3.2)
    """
    trainings = size.tasks + size.joint_runs
    merged = size.trained if size.merged is None else size.merged
    task_numbers = size.tasks * (size.trained + size.curvature * merged)
    task_steps = size.tasks * size.steps if size.task_steps is None else size.task_steps
    training = size.frozen + _TRAINING * size.trained
    merging = size.frozen + size.trained + merged + task_numbers
    return StudyCost(
        trainings=trainings,
        training_steps=task_steps + size.joint_runs * (size.joint_steps or size.steps),
        evaluations=size.methods * size.previews + size.joint_runs,
        disk_bytes=round(size.bytes_per_param * (task_numbers + size.joint_runs * size.trained)),
        memory_bytes=round(size.bytes_per_param * max(training, merging)),
    )
