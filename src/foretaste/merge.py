"""Merging: a prior and the tasks' sites, raised to their weights, make a preview.

One loop for every posterior: take each site's Gaussian surrogates at the current point, raise them
to its weight, multiply all into the prior, move to the mean, stop when still. For Gaussian sites
the first step is the closed form; for mixtures the steps are those of EM.

Floating-point buffers are averaged by alpha; other tensors stay the pretrained model's. (Batch-norm
statistics are better re-estimated afterwards: `foretaste.train.batch_norm`.) `foretaste.pieces` has the
rules for parameters that not all tasks have; `foretaste.stream` merges params that stay in files.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from foretaste.errors import ParamsError, WeightsError
from foretaste.lendable import overlaid
from foretaste.one_line import one_line
from foretaste.params import Params, average, check_fit, wide
from foretaste.pieces import (
    CHUNK,
    Factor,
    Surrogate,
    check_sites,
    is_finite,
    name_culprit,
    nonfinite_error,
    owned,
    pieces_of,
    renormalise,
)
from foretaste.posterior.conjugate import EXACT, Stop
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.placing import place_on
from foretaste.posterior.precision import Piece, Precision
from foretaste.posterior.site import Site, product
from foretaste.weights import TaskWeights

__all__ = ["Preview", "correct_preview", "merge", "nearness"]

_STILL = 1e-6
_CHUNK_AWAY = 1 << 24  # entries of a piece on an accelerator: enough to keep it busy


@dataclass(frozen=True)
class Preview:
    """Merged params for one weighting, and how they were reached.

    Args:
        weights: The task weights.
        params: Parameters and floating-point buffers, in the pretrained model's types.
        steps: Steps of the merge loop; 1 for Gaussian sites.
        converged: Whether the last step left the point still.
        prior: The prior merged into.
        surrogates: Each task's Gaussians at the merged point.
        start: Where the loop began; the prior's mean unless another start was given.
    """

    weights: TaskWeights
    params: Params
    steps: int
    converged: bool
    prior: Gaussian = field(repr=False)
    surrogates: Mapping[str, Surrogate] = field(repr=False)
    start: Params = field(repr=False)

    __repr__ = one_line

    def precision(self) -> Precision:
        """``S_0 + sum_t alpha_t H_t`` over the parameters that all tasks share; computed when asked."""
        shared = Piece(_shared(self.prior, self.surrogates))
        total = self.prior.precision.restrict(shared)
        for name, alpha in self.weights.items():
            for part in self.surrogates[name] if alpha else ():
                total = total + part.on(shared).precision * alpha
        return total


def merge(
    prior: Gaussian,
    sites: Mapping[str, Site],
    weights: TaskWeights,
    *,
    max_steps: int = 50,
    start: Params | None = None,
    stop: Stop = EXACT,
    device: torch.device | None = None,
) -> Preview:
    """Preview the params that joint finetuning under these weights would reach.

    The mode of ``p_0 * prod_t site_t ** alpha_t``. At a corner a stationary site's own params
    come back bit for bit.

    Args:
        prior: Centred on the pretrained params, with a precision above 0.
        sites: One site per task.
        weights: Over exactly these tasks.
        max_steps: Bound on the steps of the loop.
        start: Where the loop begins, by default at the prior's mean. Gaussian sites do not care;
            with mixtures in many dimensions the start decides which of the modes is found.
        stop: When conjugate gradients do, where the sites' precisions have no closed sum (`product`).
        device: Where to merge Gaussian sites and leave the params; what lies elsewhere is brought there piece by
            piece. By default where they all lie (`foretaste.posterior.placing.placed`).

    Raises:
        WeightsError: Other tasks in the weights than in the sites.
        ParamsError: Params that do not fit, sites of different units, or NaN in the result; the
            task and the tensor are named.

    >>> from foretaste.posterior.isotropic import Isotropic
    >>> from foretaste.posterior.site import GaussianSite
    >>> prior = Gaussian({"w": torch.zeros(1)}, Isotropic(1.0))
    >>> sites = {
    ...     "a": GaussianSite({"w": torch.ones(1)}, Isotropic(1.0)),
    ...     "b": GaussianSite({"w": -torch.ones(1)}, Isotropic(3.0)),
    ... }
    >>> merge(prior, sites, TaskWeights(("a", "b"), (0.5, 0.5))).params["w"]
    tensor([-0.3333])
    """
    check_sites(prior, sites, weights)
    begin = prior.mean if start is None else start
    check_fit(
        prior.mean, {name: tensor for name, tensor in begin.items() if name in prior.mean}, "the start of the merge"
    )
    point: Params = begin
    surrogates = {name: site.surrogate(point) for name, site in sites.items()}
    step, converged = 0, False
    while step < max_steps and not converged:
        before, point, former = point, _mean(prior, surrogates, weights, stop, device), surrogates
        surrogates = {name: site.surrogate(point) for name, site in sites.items()}
        unchanged = all(_is_same(surrogates[name], former[name]) for name in sites)
        converged = unchanged or (step > 0 and _is_still(before, point))
        step += 1
    return Preview(weights, _with_buffers(point, sites, weights), step, converged, prior, surrogates, begin)


def correct_preview(preview: Preview, anchor: Preview, joint: Params, trust: float = 1.0) -> Preview:
    """A preview, moved by what one joint run has shown merging to be off by.

    At the weights u of the joint run the error of merging is known: ``joint - known``. It is carried
    over to other weights as far as they are near::

        preview + nearness(u, alpha) ^ ((1 - trust) / trust) * (joint - known)

    so that the preview at u is the joint run itself, and faces of the simplex where a task that u weighs
    has no weight stay as they were.

    Args:
        preview: At any weights alpha.
        anchor: By the same sites and prior, at the joint run's weights u.
        joint: What the joint run came to; tensors it lacks are left alone.
        trust: How far the error is carried: at 0 nothing moves, at 1 it is the same all over the inside.

    Raises:
        ParamsError: A joint run of other shapes, or a trust outside 0 to 1.

    >>> from foretaste.posterior.isotropic import Isotropic
    >>> from foretaste.posterior.site import GaussianSite
    >>> prior = Gaussian({"w": torch.zeros(1)}, Isotropic(1.0))
    >>> sites = {"a": GaussianSite.flat({"w": torch.ones(1)}), "b": GaussianSite.flat({"w": -torch.ones(1)})}
    >>> anchor = merge(prior, sites, TaskWeights(("a", "b"), (0.5, 0.5)))
    >>> correct_preview(anchor, anchor, {"w": torch.tensor([0.3])}).params
    {'w': tensor([0.3000])}
    """
    if not 0 <= trust <= 1:
        raise ParamsError(f"trust in a joint run is between 0 and 1, not {trust}")
    joint_params = {name: tensor for name, tensor in joint.items() if name in preview.params}
    check_fit({name: preview.params[name] for name in joint_params}, joint_params, "the joint run")
    near = nearness(anchor.weights, preview.weights)
    share = near ** ((1 - trust) / trust) if trust and near else 0.0
    moved = (
        {
            name: _correct_tensor(preview.params[name], anchor.params[name], tensor, share)
            for name, tensor in joint_params.items()
        }
        if share
        else {}
    )
    return replace(preview, params=overlaid(preview.params, moved))


def _correct_tensor(tensor: Tensor, anchor: Tensor, joint: Tensor, share: float) -> Tensor:
    return (wide(tensor) + share * (wide(joint.to(tensor.device)) - wide(anchor))).to(tensor.dtype)


def nearness(center: TaskWeights, weights: TaskWeights) -> float:
    """How near two weightings are: ``exp(-KL(u | alpha) / 2) = prod_t (alpha_t / u_t)^(u_t / 2)``.

    It is 1 at u and 0 where a task that u weighs has no weight; near such a face it falls as a root of
    alpha_t, as the tasks' metrics do.

    Args:
        center: u.
        weights: alpha, over the same tasks.

    Raises:
        WeightsError: Other tasks.

    >>> even = TaskWeights(("a", "b"), (0.5, 0.5))
    >>> nearness(even, even), nearness(even, TaskWeights(("a", "b"), (1.0, 0.0)))
    (1.0, 0.0)
    """
    if set(center) != set(weights):
        raise WeightsError(f"weights of {', '.join(weights)} cannot be compared with weights of {', '.join(center)}")
    return math.prod(math.pow(weights[task] / share, share / 2) for task, share in center.items() if share > 0)


def _is_same(left: Surrogate, right: Surrogate) -> bool:
    return len(left) == len(right) and all(first is second for first, second in zip(left, right, strict=True))


def _mean(
    prior: Gaussian, surrogates: Mapping[str, Surrogate], weights: TaskWeights, stop: Stop, device: torch.device | None
) -> dict[str, Tensor]:
    """One step of the loop: the mean of the product, piece by piece, each rounded once."""
    means = prior.mean.items()
    merged = {
        name: torch.empty_like(mean, device=device, memory_format=torch.contiguous_format) for name, mean in means
    }
    for owners, names in owned(prior, surrogates).items():
        shares = renormalise({task: weights[task] for task, _ in owners})
        factors = [(task, surrogates[task][place], shares[task]) for task, place in owners if shares[task] > 0]
        task, first, share = factors[0]
        if len(factors) == 1 and share * first.power == 1.0 and first.gradient is None:
            for name in names:
                if not is_finite(first.center[name]):
                    raise ParamsError(nonfinite_error(task, name))
                merged[name].copy_(first.center[name])
            continue
        here = merged[names[0]].device.type == "cpu"
        for piece in pieces_of(prior, factors, names, CHUNK if here else _CHUNK_AWAY):
            _merge_piece(prior, factors, piece, merged, stop, device)
    return merged


def _merge_piece(
    prior: Gaussian, factors: Sequence[Factor], piece: Piece, merged: Params, stop: Stop, device: torch.device | None
) -> None:
    part = place_on(Gaussian(piece.of(prior.mean), prior.precision.restrict(piece)), device)
    sites = [place_on(replace(site.on(piece), carried={}), device) ** share for _, site, share in factors]
    mean = product(part, sites, stop).mean
    for name, target in piece.of(merged).items():
        if not is_finite(mean[name]):
            raise ParamsError(name_culprit(name, piece, prior, factors))
        target.copy_(mean[name])


def _shared(prior: Gaussian, surrogates: Mapping[str, Surrogate]) -> list[str]:
    return [
        key for key in prior.mean if all(any(key in part.center for part in parts) for parts in surrogates.values())
    ]


def _with_buffers(point: Params, sites: Mapping[str, Site], weights: TaskWeights) -> dict[str, Tensor]:
    merged = dict(point)
    for key in dict.fromkeys(key for site in sites.values() for key in site.buffers):
        alpha = renormalise({name: weights[name] for name, site in sites.items() if key in site.buffers})
        merged[key] = average((share, sites[name].buffers[key]) for name, share in alpha.items())
    return merged


def _is_still(before: Params, after: Params) -> bool:
    moved = sum(float((wide(after[name]) - wide(before[name])).square().sum()) for name in after)
    size = sum(float(wide(tensor).square().sum()) for tensor in after.values())
    return moved <= _STILL**2 * max(size, _STILL)
