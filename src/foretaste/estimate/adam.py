"""Diagonal curvature from a training run's optimizer: Adam's second moment.

Adam keeps a running mean of squared gradients. A gradient is a mean over B units, clipped by a factor c. With
``g_b`` for the gradient of one unit's loss::

    v_k = (1 - beta2) sum_{i <= k} beta2^(k - i) G_i^2           G_i = c/B sum_b g_b

If the params stayed the same, the weights would add up to ``1 - beta2^k`` and, for units drawn independently::

    E[v_k] / (1 - beta2^k) = c^2 / B (E[g^2] + (B - 1) E[g]^2)

So ``h = v_k / (1 - beta2^k) * B / c^2`` is the diagonal of the empirical Fisher plus ``(B - 1) E[g]^2``. It stands
for the curvature under four assumptions:

- The noise of gradients dominates their mean, ``(B - 1) E[g]^2 << E[g^2]``, as it does near the task's optimum.
- The params moved little during the last ``1 / (1 - beta2)`` steps.
- c was nearly constant.
- The empirical Fisher is the task's curvature, as it is where the model fits its labels' noise.

Weight decay must be decoupled (AdamW), since Adam's own is part of G. Where an assumption is in doubt, use
`foretaste.estimate.fisher`, which needs one pass over some examples.

References:
    Li, Dangel, Tam, Raffel: Fishers for Free? Approximating the Fisher Information Matrix by
    Recycling the Squared Gradient Accumulator, 2025, https://arxiv.org/abs/2507.18807
    Kingma, Ba: Adam: A Method for Stochastic Optimization, 2014, https://arxiv.org/abs/1412.6980
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from foretaste.errors import ParamsError, TaskError
from foretaste.names import first_few
from foretaste.one_line import one_line
from foretaste.params import Params, snapshot, wide
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.site import GaussianSite, Record
from foretaste.task import Unit

__all__ = ["AdamRun", "Moments", "adam"]

_INSTEAD = "estimate the curvature with foretaste.estimate.fisher"
_EIGHT_BIT = frozenset({"state1", "state2", "absmax", "absmax1", "absmax2", "qmap1", "qmap2"})
_FACTORED = frozenset({"exp_avg_sq_row", "exp_avg_sq_col", "row_var", "col_var"})
_NAMES_IN_MESSAGE = 6


@dataclass(frozen=True)
class AdamRun:
    """The facts of a run that say how its gradients were averaged and clipped.

    Args:
        batch_size: Units per device and backward pass: examples, or label tokens (on average) where the
            loss is a mean over tokens.
        accumulation: Backward passes per step, averaged.
        world_size: Devices whose gradients were averaged.
        clip: c, the factor of gradients before the step: ``max_norm / norm`` where they were clipped to a norm, 1
            without clipping.
        unit: The unit that the loss was a mean over.
        examples: The number of the task's examples, for the record.
        units: The number of units in them, for the record.

    Raises:
        TaskError: A size is below 1, or the factor is not above 0.

    >>> AdamRun(batch_size=8, accumulation=4, world_size=2).batch
    64
    """

    batch_size: int
    accumulation: int = 1
    world_size: int = 1
    clip: float = 1.0
    unit: Unit = "example"
    examples: int = 0
    units: int = 0

    def __post_init__(self) -> None:
        for name, value in (
            ("batch_size", self.batch_size),
            ("accumulation", self.accumulation),
            ("world_size", self.world_size),
        ):
            if value < 1:
                raise TaskError(f"{name} of the Adam run is {value}; give what one step averaged over, at least 1")
        if not 0 < self.clip < math.inf:
            raise TaskError(
                f"clip of the Adam run is {self.clip}; give the factor that gradients were multiplied with, above 0"
            )

    @property
    def batch(self) -> int:
        """The number of units per step, B, over all passes and devices."""
        return self.batch_size * self.accumulation * self.world_size


@dataclass(frozen=True)
class Moments:
    """The part of Adam's state that tells about curvature.

    Args:
        exp_avg_sq: v by parameter name, in the parameters' shapes.
        step: k, one number for all parameters, or one by name.
        beta2: One number for all parameters, or one by name.
        frozen: Parameters that were not trained and have no curvature.

    >>> Moments({"w": torch.ones(2)}, step=100, beta2=0.999).frozen
    frozenset()
    """

    exp_avg_sq: Params
    step: float | Mapping[str, float]
    beta2: float | Mapping[str, float]
    frozen: frozenset[str] = field(default=frozenset())

    __repr__ = one_line

    @classmethod
    def of(cls, optimizer: torch.optim.Optimizer, named_parameters: Iterable[tuple[str, nn.Parameter]]) -> "Moments":
        """Read the moments of a live `torch.optim.Adam` or `AdamW`; of amsgrad the running mean, not the maximum.

        Args:
            optimizer: The optimizer after its last step.
            named_parameters: The parameters of the model that it trained.

        Raises:
            ParamsError: The state has no plain second moment: it is 8-bit, factored, of another optimizer, or missing
                for a trained parameter.
            TaskError: The optimizer has no beta2.

        >>> layer = nn.Linear(1, 1, bias=False)
        >>> optimizer = torch.optim.AdamW(layer.parameters(), lr=0.0)
        >>> layer(torch.ones(1, 1)).sum().backward()
        >>> optimizer.step()
        >>> Moments.of(optimizer, layer.named_parameters()).step
        {'weight': 1.0}
        """
        parameters = dict(named_parameters)
        trained = {name: parameter for name, parameter in parameters.items() if parameter.requires_grad}
        states = {name: optimizer.state[p] for name, p in trained.items() if optimizer.state.get(p)}
        _check_present(trained, states, "the optimizer")
        for name, state in states.items():
            _check_slots(name, state)
        groups = {parameter: group for group in optimizer.param_groups for parameter in group["params"]}
        beta2 = {name: _beta2(name, groups[parameter]) for name, parameter in trained.items()}
        steps = {name: float(state.get("step", 0)) for name, state in states.items()}
        return cls(
            {name: state["exp_avg_sq"] for name, state in states.items()},
            steps,
            beta2,
            frozenset(set(parameters) - set(trained)),
        )


def adam(center: Params, state: Moments, *, run: AdamRun, carried: Params | None = None) -> GaussianSite:
    """Make a task's site with the curvature of Adam's state.

    Args:
        center: The task's params at the end of the run.
        state: The moments of a live optimizer (`Moments.of`), or tensors of a file, by the names of the params.
        run: How gradients were averaged and clipped.
        carried: The task's floating-point buffers.

    Returns:
        A stationary `GaussianSite` centred on the params, curvature per unit in float32 or wider.

    Raises:
        ParamsError: The state cannot be used: it is 8-bit, factored, sharded, missing for a trained parameter, or not
            finite.
        TaskError: There are no steps, or beta2 is outside of 0 to 1.

    >>> state = Moments({"w": torch.tensor([0.001])}, step=1, beta2=0.999)
    >>> adam({"w": torch.zeros(1)}, state, run=AdamRun(batch_size=4)).precision.entries
    {'w': tensor([4.])}
    """
    slots = {key.replace("/", ".").rpartition(".")[2]: key for key in state.exp_avg_sq}
    _check_kind(slots, "the state")
    _check_present([name for name in center if name not in state.frozen], state.exp_avg_sq, "the state")
    entries = {name: _curvature(name, tensor, state, run) for name, tensor in center.items()}
    details = {"batch": str(run.batch), "clip": str(run.clip)}
    for key, value in (("step", state.step), ("beta2", state.beta2)):
        values = {value[name] for name in center if name in value} if isinstance(value, Mapping) else {value}
        details[key] = ", ".join(f"{one:g}" for one in sorted(values))
    record = Record(run.unit, "adam", run.examples, run.units, details=details)
    return GaussianSite(snapshot(center), Diagonal.checked(entries), carried=snapshot(carried or {}), record=record)


def _curvature(name: str, parameter: Tensor, state: Moments, run: AdamRun) -> Tensor:
    """Compute ``v / (1 - beta2^k) * B / c^2`` on the CPU."""
    if name in state.frozen:
        return torch.zeros_like(wide(parameter), device="cpu")
    moment = state.exp_avg_sq[name]
    _check_plain(name, moment, parameter)
    step, beta2 = _of(state.step, name, "step"), _of(state.beta2, name, "beta2")
    if not 0 <= beta2 < 1:
        raise TaskError(f"beta2 of {name} is {beta2}; Adam's is at least 0 and below 1: give the one of the run")
    if not step >= 1:
        raise TaskError(
            f"the Adam state of {name} has {step:g} steps, so nothing was averaged; train first, or {_INSTEAD}"
        )
    curvature: Tensor = wide(moment.detach()).cpu() * (run.batch / run.clip**2 / (1 - beta2**step))
    return curvature


def _of(value: float | Mapping[str, float], name: str, what: str) -> float:
    if not isinstance(value, Mapping):
        return float(value)
    if name not in value:
        raise TaskError(f"the Adam state has no {what} for {name}; give it, or {_INSTEAD}")
    return float(value[name])


def _beta2(name: str, group: Mapping[str, object]) -> float:
    betas = group.get("betas")
    if not isinstance(betas, tuple | list) or len(betas) < 2:
        raise TaskError(
            f"the optimizer has no beta2 for {name} (its options: {', '.join(sorted(group))}); it is not Adam:"
            f" {_INSTEAD}"
        )
    return float(betas[1])


def _check_present(names: Iterable[str], moments: Mapping[str, object], owner: str) -> None:
    missing = [name for name in names if name not in moments]
    if missing:
        listing = first_few(missing, _NAMES_IN_MESSAGE)
        raise ParamsError(
            f"{owner} has no second moment for {listing}; name what was frozen, freeze what has no gradient, or"
            f" {_INSTEAD}"
        )


def _check_slots(name: str, state: Mapping[str, object]) -> None:
    _check_kind(dict.fromkeys(state, name), "the optimizer's state")
    if "exp_avg_sq" not in state:
        raise ParamsError(
            f"the optimizer's state of {name} has {', '.join(state)} and no exp_avg_sq; it is not Adam's: {_INSTEAD}"
        )


def _check_kind(keys: Mapping[str, str], owner: str) -> None:
    """Refuse the slots of other optimizers, by their names."""
    for slots, kind in (
        (_EIGHT_BIT, "8-bit: its second moment is rounded block by block"),
        (_FACTORED, "Adafactor's: it has sums only"),
    ):
        for slot, where in keys.items():
            if slot in slots:
                raise ParamsError(f"{owner} of {where} is {kind} ({slot}); {_INSTEAD}")


def _check_plain(name: str, moment: Tensor, parameter: Tensor) -> None:
    kind = type(moment)
    if kind.__name__ == "DTensor" or moment.shape != parameter.shape:
        description = f"{kind.__name__} of shape {list(moment.shape)}, the parameter's is {list(parameter.shape)}"
        raise ParamsError(
            f"exp_avg_sq of {name} is sharded or of another model ({description}); gather the full state, or {_INSTEAD}"
        )
    if not moment.is_floating_point() or kind not in (Tensor, nn.Parameter):
        raise ParamsError(
            f"exp_avg_sq of {name} is quantised ({kind.__name__} of {moment.dtype}): too coarse; {_INSTEAD}"
        )
