"""A site whose posterior is a mixture of K Gaussians, merged by expectation-maximisation.

With components ``N(m_k, S_k)``, ``S_k = S + H_k``, of weights pi_k, the E step at a point x is::

    log r_k = log pi_k + 1/2 log|S_k| - 1/2 (x - m_k)' S_k (x - m_k) + const        (log-sum-exp)

and the M step is the Gaussian formula with the product of ``component_k ** r_k``. That is a step of the merge
loop, so EM never lowers ``log q_alpha``.

In many dimensions, log r differs so much that every r is 0 or 1, and EM stays at its start. Three remedies help,
and each has a price. The start can be chosen, and the preview records it (`Preview.start`). A temperature tau can
divide log r: for ``tau -> inf`` all r are 1/K, which gives the curvature-weighted average of the runs, the control.
And each block of parameters can have an r of its own. The merge then climbs another objective,
``sum_blocks tau log sum_k exp(log r_k / tau)``.

References:
    Monzón Maldonado, Möllenhoff, Daheim, Gurevych, Khan: How to Weight Multitask Finetuning? Fast
    Previews via Bayesian Model-Merging, 2024, https://arxiv.org/abs/2412.08147 (mixtures).
    Dempster, Laird, Rubin: Maximum Likelihood from Incomplete Data via the EM Algorithm, 1977.
    Ueda, Nakano: Deterministic Annealing EM Algorithm, 1998 (tempering).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from foretaste.errors import ParamsError
from foretaste.one_line import one_line
from foretaste.params import Params, average, check_fit
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.precision import Piece, couple
from foretaste.posterior.site import GaussianSite, Record, Site

__all__ = ["Blocks", "MixtureSite"]

Blocks = Literal["whole", "tensor"]

_NOTHING = 1e-9  # a component that explains less than this changes no digit of float32


@dataclass(frozen=True)
class MixtureSite(Site):
    """Several runs of one task, each with its curvature, as one site.

    Args:
        prior: The prior of the runs' posteriors, whose precisions are ``S + H_k``.
        components: The runs' stationary sites, with the same names and in one unit; at least one.
        log_weights: `[K]`, log pi_k; equal if left out.
        tempering: tau, above 0; ``inf`` makes every responsibility 1/K.
        blocks: Whether all params have one responsibility (``whole``), or each tensor has its own (``tensor``). Tensors
            that a precision couples stay together.

    Raises:
        ParamsError: There is no component, names or units differ, a component has a gradient, or the temperature is
            not above 0.

    >>> from foretaste.posterior.isotropic import Isotropic
    >>> prior = Gaussian({"w": torch.zeros(1)}, Isotropic(1.0))
    >>> runs = [GaussianSite({"w": torch.tensor([x])}, Isotropic(9.0)) for x in (-1.0, 1.0)]
    >>> [
    ...     (part.center["w"].item(), round(part.power, 3))
    ...     for part in MixtureSite(prior, runs).surrogate({"w": torch.tensor([0.2])})
    ... ]
    [(-1.0, 0.018), (1.0, 0.982)]
    """

    prior: Gaussian
    components: Sequence[GaussianSite]
    log_weights: tuple[float, ...] = ()
    tempering: float = 1.0
    blocks: Blocks = "whole"

    __repr__ = one_line

    def __post_init__(self) -> None:
        if not self.components:
            raise ParamsError("a mixture needs at least one component; give the sites of one or more runs")
        if not self.tempering > 0:
            raise ParamsError(f"a temperature must be above 0, not {self.tempering}; 1 is plain EM")
        first, *others = self.components
        for place, other in enumerate(others, start=2):
            check_fit(first.center, other.center, f"component {place} of a mixture")
        if len({site.record.unit for site in self.components}) > 1:
            raise ParamsError("components of different units cannot be mixed; estimate them again in one unit")
        if any(site.gradient is not None for site in self.components):
            raise ParamsError(
                "a mixture's components are runs at their optima, and have no gradient; give sites that were taken at"
                " an optimum"
            )

    @property
    def record(self) -> Record:  # type: ignore[override]
        return self.components[0].record

    @property
    def params(self) -> Params:
        return self.components[0].center

    @property
    def buffers(self) -> Params:
        share = 1 / len(self.components)
        return {
            key: average((share, site.carried[key]) for site in self.components) for key in self.components[0].carried
        }

    def at_temperature(self, tempering: float) -> "MixtureSite":
        """Return this mixture at another temperature; merging from high to low anneals."""
        return replace(self, tempering=tempering)

    def surrogate(self, at: Params) -> tuple[GaussianSite, ...]:
        """Return the components to the power of their responsibilities at ``at``, without those of 0."""
        parts: list[GaussianSite] = []
        for piece, logs in zip(self._pieces, self._log_parts(at), strict=True):
            shares = _drop_negligible((logs / self.tempering).softmax(0)).tolist()
            whole = len(self._pieces) == 1
            parts += [
                part if share == 1 else part**share
                for site, share in zip(self.components, shares, strict=True)
                if share > 0
                for part in [site if whole else site.on(piece)]
            ]
        return tuple(parts)

    def check(self, owner: str) -> None:
        for place, site in enumerate(self.components, start=1):
            site.check(f"component {place} of {owner}")

    def log_density(self, at: Params) -> float:
        """Compute the objective that the merge climbs: ``log q(at)``, or its tempered form by blocks."""
        if math.isinf(self.tempering):
            return math.fsum(float(logs.mean()) for logs in self._log_parts(at))
        return math.fsum(self.tempering * float((logs / self.tempering).logsumexp(0)) for logs in self._log_parts(at))

    def responsibilities(self, at: Params) -> Tensor:
        """Compute how much of each block every component explains at a point, `[blocks, K]`."""
        return torch.stack([(logs / self.tempering).softmax(0) for logs in self._log_parts(at)])

    def _log_parts(self, at: Params) -> list[Tensor]:
        """Per block `[K]`, ``log pi_k + log N(at; m_k, S_k^-1)`` on the block."""
        return [
            torch.tensor(
                [log + part.log_density(at) for log, part in zip(self._logs, parts, strict=True)], dtype=torch.float64
            )
            for parts in self._parts
        ]

    @cached_property
    def _logs(self) -> list[float]:
        count = len(self.components)
        logs = torch.tensor(self.log_weights or [0.0] * count, dtype=torch.float64)
        if len(logs) != count:
            raise ParamsError(f"a mixture of {count} components was given {len(logs)} weights")
        return logs.log_softmax(0).tolist()

    @cached_property
    def _pieces(self) -> list[Piece]:
        names = list(self.params)
        if self.blocks == "whole":
            return [Piece(names)]
        groups = couple([self.prior.precision, *(site.precision for site in self.components)], names)
        return [Piece(group) for group in groups or [(name,) for name in names]]

    @cached_property
    def _parts(self) -> list[list["_Component"]]:
        return [[_Component(self.prior, site, piece) for site in self.components] for piece in self._pieces]


def _drop_negligible(shares: Tensor) -> Tensor:
    kept_shares = torch.where(shares < _NOTHING, 0, shares)
    return kept_shares / kept_shares.sum()


class _Component:
    """One component's density on one block, its determinant computed once."""

    def __init__(self, prior: Gaussian, site: GaussianSite, piece: Piece) -> None:
        part = site.on(piece)
        self._gaussian = Gaussian(part.center, prior.precision.restrict(piece) + part.precision)
        self._constant = self._gaussian.log_density(part.center)

    def log_density(self, at: Params) -> float:
        return self._constant - 0.5 * self._gaussian.square(at)
