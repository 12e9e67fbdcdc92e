"""The training loop, for any module and any tasks, on the device that Accelerate chooses."""

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from torch import Tensor, nn

from foretaste.errors import Diverged, RunFailed
from foretaste.loss.unit import unit_factors, units_of_each
from foretaste.params import Params, buffers_of, first_nonfinite, parameters_of, snapshot
from foretaste.task import Batch, Task
from foretaste.train.mixture import Portion, Step, collate_step
from foretaste.train.model_copy import copy_center, copy_model, load_params
from foretaste.train.optimizers import as_sampling, at_draw, new_optimizer
from foretaste.train.run import MakeOptimizer, Observer, Silent, Snapshot, Trained
from foretaste.train.training import Training, learning_rate

__all__ = ["train"]


def train(
    model: nn.Module,
    params: Params | None,
    tasks: Sequence[Task],
    plan: Sequence[Step],
    training: Training,
    *,
    optimizer: MakeOptimizer | None = None,
    center: Params | None = None,
    start: Snapshot | None = None,
    observer: Observer | None = None,
) -> Trained:
    """Train a copy of the model on the planned examples.

    On a CPU, a run that goes on from a snapshot ends with the same bits as one that never stopped.

    Args:
        model: Any module; it is left as it was.
        params: The params to start from (the pretrained ones); None for the model's own.
        tasks: The tasks in the plan.
        plan: The examples of every step; see `mixture`.
        training: How to train.
        optimizer: Function that makes the optimizer in place of the one that ``training`` names; the learning rate is
            still ``training``'s. A `Sampling` optimizer takes every gradient at a draw.
        center: The params that ``training.prior_precision`` pulls to; by default those that the run starts from.
        start: A snapshot to go on from.
        observer: Called at every step; may ask for snapshots.

    Raises:
        ParamsError: The center has other params than the model, or a `Sampling` optimizer does not suit the training
            (see `as_sampling`).
        Diverged: A loss, a gradient or the final params are NaN or infinite; the observer gets the last good state
            first.
        RunFailed: Several processes were started.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> from foretaste.train.mixture import Portion
    >>> task = Task(
    ...     "a",
    ...     Rows(torch.eye(2), torch.tensor([0, 1])),
    ...     Rows(torch.eye(2), torch.tensor([0, 1])),
    ...     [METRICS["accuracy"]],
    ... )
    >>> len(train(nn.Linear(2, 2), None, [task], [(Portion("a", (0, 1)),)] * 3, Training(steps=3)).history)
    3
    """
    run = _Run(model, params, tasks, training, optimizer, center)
    watch = observer or Silent()
    with _own_randomness(training.seed, run.accelerator.device):
        history, data_counts, first = run.restore(start) if start else ([], {}, 0)
        for step in range(first, len(plan)):
            before = copy.deepcopy(data_counts)
            try:
                history.append(run.step(step, plan[step], data_counts))
            except Diverged:
                if run.is_finite():
                    watch.keep(run.state(step, history, before))
                raise
            watch.on_step(step + 1, history[-1])
            if step + 1 < len(plan) and watch.wants_snapshot(step + 1):
                watch.keep(run.state(step + 1, history, data_counts))
    return Trained(run.final_params(), history, data_counts, run.estimates())


@contextmanager
def _own_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the process's generators, which dropout draws from, and restore their states at the end."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


class _Run:
    """A copy of the model with its optimizer, which takes one step at a time."""

    def __init__(
        self,
        model: nn.Module,
        params: Params | None,
        tasks: Sequence[Task],
        training: Training,
        optimizer: MakeOptimizer | None,
        center: Params | None,
    ) -> None:
        self.training = training
        self.tasks = {task.name: task for task in tasks}
        bare = copy_model(model, () if params is None else params)
        if params is not None:
            load_params(bare, params)
        trained = {name: parameter for name, parameter in bare.named_parameters() if parameter.requires_grad}
        self.pretrained = copy_center(trained, center) if training.prior_precision else []
        created = optimizer(list(trained.values())) if optimizer else new_optimizer(list(trained.values()), training)
        self.sampling = as_sampling(created, training)
        self.accelerator = _accelerator(training)
        self.model, prepared = self.accelerator.prepare(bare, created)
        self.optimizer = prepared if _needs_accelerate(self.accelerator) else created
        self.bare = self.accelerator.unwrap_model(self.model)
        self.trained = [parameter for parameter in self.bare.parameters() if parameter.requires_grad]
        self._set_mode()

    def _set_mode(self) -> None:
        self.model.train()
        if self.training.batch_norm == "freeze":
            for module in self.bare.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()

    def step(self, step: int, portions: Step, data_counts: dict[str, dict[str, int]]) -> float:
        """Take one step of the optimizer, and return the mean loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.training, step)
        self.optimizer.zero_grad(set_to_none=True)
        with at_draw(self.sampling):
            total = self._backward(step, self._batches(portions, data_counts))
        self._add_prior()
        if self.training.clip is not None:
            norm = float(self.accelerator.clip_grad_norm_(self.trained, self.training.clip))
            if not math.isfinite(norm) and not self.accelerator.scaler:  # a scaler skips such a step itself
                raise Diverged(_diverged(f"the gradient's norm became {norm}", step, self.training))
        self.optimizer.step()
        return total

    def _backward(self, step: int, batches: Sequence[tuple[Task, Batch, Tensor]]) -> float:
        """Add up the gradients of the micro-batches, and return the loss."""
        total = 0.0
        for task, batch, factors in batches:
            with self.accelerator.autocast():
                outputs = task.predict(self.model, batch)
            example_losses = task.loss.per_unit(outputs, batch).sum(1) * unit_factors(
                task.loss.counts(batch), task.unit
            )
            loss = (example_losses * factors).sum()
            self.accelerator.backward(loss)
            total += float(loss.detach())
            if not math.isfinite(total):
                raise Diverged(_diverged(f"the loss became {total}", step, self.training))
        return total

    def _batches(self, portions: Step, data_counts: dict[str, dict[str, int]]) -> list[tuple[Task, Batch, Tensor]]:
        """Collate the step's micro-batches, with the factor of each example's loss, `[B]`."""
        device = self.accelerator.device
        batches = collate_step(portions, self.tasks, device, self.training.micro_batch)
        counted = dict.fromkeys((portion.task for portion in portions), 0)
        for task, batch, owners in batches:
            for portion, units in zip(owners, units_of_each(task.loss.counts(batch), task.unit), strict=True):
                counted[portion.task] += units
        _count(data_counts, portions, counted)
        factors = {portion: _factor(portion, counted) for portion in portions}
        return [
            (task, batch, torch.tensor([factors[portion] for portion in owners], device=device))
            for task, batch, owners in batches
        ]

    def _add_prior(self) -> None:
        for parameter, center in zip(self.trained, self.pretrained, strict=False):
            if parameter.grad is not None:
                scale = self.training.prior_precision * (
                    self.accelerator.scaler.get_scale() if self.accelerator.scaler else 1.0
                )
                parameter.grad.add_(parameter.detach() - center.to(parameter.device), alpha=scale)

    def state(self, step: int, history: list[float], data_counts: dict[str, dict[str, int]]) -> Snapshot:
        """Copy everything that training changes, for `restore`."""
        self._check(step)
        trained = {name: parameter for name, parameter in self.bare.named_parameters() if parameter.requires_grad}
        tensors = {f"params/{name}": tensor for name, tensor in (trained | dict(self.bare.named_buffers())).items()}
        for index, entry in self.optimizer.state_dict()["state"].items():
            tensors |= {
                f"optimizer/{index}/{key}": torch.as_tensor(value) for key, value in entry.items() if value is not None
            }
        tensors["random/cpu"] = torch.get_rng_state()
        if self.accelerator.device.type == "cuda":
            tensors["random/cuda"] = torch.cuda.get_rng_state(self.accelerator.device)
        scaler = self.accelerator.scaler.state_dict() if self.accelerator.scaler else {}
        return Snapshot(
            step,
            snapshot(tensors),
            list(history),
            copy.deepcopy(data_counts),
            {key: float(value) for key, value in scaler.items()},
        )

    def restore(self, start: Snapshot) -> tuple[list[float], dict[str, dict[str, int]], int]:
        """Load a snapshot; return its history, its counts of data and its step."""
        load_params(
            self.bare,
            {
                name.removeprefix("params/"): tensor
                for name, tensor in start.tensors.items()
                if name.startswith("params/")
            },
        )
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in start.tensors.items():
            if name.startswith("optimizer/"):
                _, index, key = name.split("/")
                state.setdefault(int(index), {})[key] = tensor
        self.optimizer.load_state_dict({"state": state, "param_groups": self.optimizer.state_dict()["param_groups"]})
        if start.scaler and self.accelerator.scaler:
            self.accelerator.scaler.load_state_dict(start.scaler)
        torch.set_rng_state(start.tensors["random/cpu"])
        if "random/cuda" in start.tensors and self.accelerator.device.type == "cuda":
            torch.cuda.set_rng_state(start.tensors["random/cuda"], self.accelerator.device)
        return list(start.history), copy.deepcopy(start.data_counts), start.step

    def final_params(self) -> dict[str, Tensor]:
        """Return a copy of the final params that tasks have, after a check that they are finite."""
        self._check(self.training.steps)
        return snapshot(self._own_tensors())

    def _own_tensors(self) -> dict[str, Tensor]:
        """Return the parameters that tasks have, and the floating-point buffers; all others stay as they were."""
        names = None if any(task.names is None for task in self.tasks.values()) else self._task_names()
        return parameters_of(self.bare, names) | buffers_of(self.bare)

    def _task_names(self) -> frozenset[str]:
        return frozenset().union(*(task.names or () for task in self.tasks.values()))

    def estimates(self) -> dict[str, dict[str, Tensor]]:
        """Return the estimates of a sampling optimizer for the parameters that tasks have, by kind and name."""
        own = self._own_tensors()
        names = {parameter: name for name, parameter in self.bare.named_parameters() if name in own}
        estimates = self.sampling.estimates() if self.sampling else {}
        return {
            kind: snapshot({names[parameter]: tensor for parameter, tensor in tensors.items() if parameter in names})
            for kind, tensors in estimates.items()
        }

    def is_finite(self) -> bool:
        """Tell whether no param holds NaN or infinity."""
        return first_nonfinite(self._own_tensors()) is None

    def _check(self, steps: int) -> None:
        """Check that the params are finite, which the loss would show only a step later."""
        bad = first_nonfinite(self._own_tensors())
        if bad is not None:
            raise Diverged(_diverged(f"the trained params hold NaN or infinity in {bad}", steps - 1, self.training))


def _accelerator(training: Training) -> Accelerator:
    AcceleratorState._reset_state()  # a process may train at one precision after another
    accelerator = Accelerator(mixed_precision=training.mixed_precision)
    if accelerator.num_processes > 1:
        raise RunFailed(f"started by {accelerator.num_processes} processes at once; start one: it uses one device")
    return accelerator


def _needs_accelerate(accelerator: Accelerator) -> bool:
    """Tell whether Accelerate changes an optimizer's steps; where it does not, its search for packages costs time."""
    return accelerator.scaler is not None or accelerator.distributed_type != DistributedType.NO


def _factor(portion: Portion, counted: Mapping[str, int]) -> float:
    """Return the factor of one unit of a portion in the step's loss."""
    if portion.weight is None:
        return 1 / max(sum(counted.values()), 1)
    return portion.weight / max(counted[portion.task], 1)


def _count(data_counts: dict[str, dict[str, int]], portions: Step, counted: Mapping[str, int]) -> None:
    for portion in portions:
        entry = data_counts.setdefault(portion.task, {"examples": 0, "units": 0})
        entry["examples"] += len(portion.indices)
        entry["units"] += counted[portion.task]


def _diverged(what: str, step: int, training: Training) -> str:
    advice = f"lower learning_rate (now {training.learning_rate:g}), or raise warmup (now {training.warmup:g})"
    clipping = " or set clip" if training.clip is None else ""
    return f"{what} in step {step + 1} of {training.steps}; {advice}{clipping}"
