"""A site whose posterior is a mixture of K Gaussians, merged by expectation-maximisation.

With components ``N(m_k, S_k)``, ``S_k = S + H_k``, of weights pi_k, the E step at a point x is::

    log r_k = log pi_k + 1/2 log|S_k| - 1/2 (x - m_k)' S_k (x - m_k) + const        (log-sum-exp)

and the M step is the Gaussian formula with the product of ``component_k ** r_k``: it is the merge
loop's own step, so that EM never lowers ``log q_alpha``.

In many dimensions the differences of log r are so large that every r is 0 or 1 and EM stays where
it starts. Three answers, none of them free: the start is chosen and kept (`Preview.start`); a
temperature tau divides log r (for ``tau -> inf`` all r are 1/K: the curvature-weighted average of
the runs, which is the control); r may be found per block of parameters. Each climbs an objective
of its own, ``sum_blocks tau log sum_k exp(log r_k / tau)``.

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
from foretaste.posterior.precision import Piece, coupled
from foretaste.posterior.site import GaussianSite, Record, Site

__all__ = ["Blocks", "MixtureSite"]

Blocks = Literal["whole", "tensor"]

_NOTHING = 1e-9  # a component that explains less than this changes no digit of float32


@dataclass(frozen=True)
class MixtureSite(Site):
    """Several runs of one task, each with its curvature, as one site.

    Args:
        prior: What the runs' posteriors were made with: their precisions are ``S + H_k``.
        components: The runs' stationary sites, on the same names, in one unit; at least one.
        log_weights: `[K]`, log pi_k; equal if left out.
        tempering: tau, above 0; ``inf`` makes every responsibility 1/K.
        blocks: Responsibilities for all params together (``whole``), or for each tensor on its
            own (``tensor``; tensors that a precision couples stay together).

    Raises:
        ParamsError: No component, other names or units among them, a component with a gradient,
            or a temperature that is not above 0.

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

    def tempered(self, tempering: float) -> "MixtureSite":
        """Return this mixture at another temperature; merging from high to low anneals."""
        return replace(self, tempering=tempering)

    def surrogate(self, at: Params) -> tuple[GaussianSite, ...]:
        """The components raised to their responsibilities at ``at``; those of 0 are left out."""
        parts: list[GaussianSite] = []
        for piece, logs in zip(self._pieces, self._log_parts(at), strict=True):
            shares = _counting((logs / self.tempering).softmax(0)).tolist()
            whole = len(self._pieces) == 1
            parts += [
                part if share == 1 else part**share
                for site, share in zip(self.components, shares, strict=True)
                if share > 0
                for part in [site if whole else site.on(piece)]
            ]
        return tuple(parts)

    def check(self, whose: str) -> None:
        for place, site in enumerate(self.components, start=1):
            site.check(f"component {place} of {whose}")

    def log_density(self, at: Params) -> float:
        """What the merge climbs: ``log q(at)``, or its tempered, blockwise relative."""
        if math.isinf(self.tempering):
            return math.fsum(float(logs.mean()) for logs in self._log_parts(at))
        return math.fsum(self.tempering * float((logs / self.tempering).logsumexp(0)) for logs in self._log_parts(at))

    def responsibilities(self, at: Params) -> Tensor:
        """`[blocks, K]`: how much of each block every component explains at a point."""
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
        given = torch.tensor(self.log_weights or [0.0] * count, dtype=torch.float64)
        if len(given) != count:
            raise ParamsError(f"a mixture of {count} components was given {len(given)} weights")
        return given.log_softmax(0).tolist()

    @cached_property
    def _pieces(self) -> list[Piece]:
        names = list(self.params)
        if self.blocks == "whole":
            return [Piece(names)]
        groups = coupled([self.prior.precision, *(site.precision for site in self.components)], names)
        return [Piece(group) for group in groups or [(name,) for name in names]]

    @cached_property
    def _parts(self) -> list[list["_Normalised"]]:
        return [[_Normalised(self.prior, site, piece) for site in self.components] for piece in self._pieces]


def _counting(shares: Tensor) -> Tensor:
    counting = torch.where(shares < _NOTHING, 0, shares)
    return counting / counting.sum()


class _Normalised:
    """One component's density on one block, its determinant computed once."""

    def __init__(self, prior: Gaussian, site: GaussianSite, piece: Piece) -> None:
        part = site.on(piece)
        self._gaussian = Gaussian(part.center, prior.precision.restrict(piece) + part.precision)
        self._constant = self._gaussian.log_density(part.center)

    def log_density(self, at: Params) -> float:
        return self._constant - 0.5 * self._gaussian.square(at)
