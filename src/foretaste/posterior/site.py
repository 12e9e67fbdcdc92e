"""Sites: approximations of one task's likelihood, the posterior divided by the prior."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from foretaste.one_line import one_line
from foretaste.params import Params, check_fit, wide
from foretaste.posterior.conjugate import EXACT, Stop
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.precision import Piece, Precision, Sum

__all__ = ["GaussianSite", "Record", "Site", "product"]


@dataclass(frozen=True)
class Record:
    """How a site's curvature was estimated; two sites merge only if their units agree.

    Args:
        unit: ``example`` or ``token``: what the loss is a mean over.
        estimator: The estimator, for example ``fisher:sampled``; ``none`` without curvature.
        examples: The number of examples that the curvature was estimated on.
        units: The number of units (examples or label tokens) in them.
        scale: The common factor s of all tasks' losses.
        details: Other facts worth recording, such as the base model's hash, the dtype and the seed.
    """

    unit: str = "example"
    estimator: str = "none"
    examples: int = 0
    units: int = 0
    scale: float = 1.0
    details: Mapping[str, str] = field(default_factory=dict)

    __repr__ = one_line


class Site(ABC):
    """An approximation of one task's likelihood ``exp(-s l_t(x))``."""

    record: Record

    @property
    @abstractmethod
    def params(self) -> Params:
        """The task's own params: the best single point of the site."""

    @property
    @abstractmethod
    def buffers(self) -> Params:
        """The task's floating-point buffers, which are averaged by alpha."""

    @abstractmethod
    def surrogate(self, at: Params) -> "tuple[GaussianSite, ...]":
        """Return the Gaussian sites whose product stands in for this site near ``at``."""

    @abstractmethod
    def check(self, owner: str) -> None:
        """Check that curvature and gradient have the shapes of the params, so that none is broadcast.

        Args:
            owner: What the site belongs to, for the error; for example ``"task 'code'"``.

        Raises:
            ParamsError: The shapes differ.
        """


@dataclass(frozen=True)
class GaussianSite(Site):
    """``exp(-g'(x - c) - 1/2 (x - c)' H (x - c))`` with centre c, gradient g and curvature H.

    Without a gradient the site is *stationary*: c is the mean of the task's posterior for every prior ``N(m, S)``, so
    ``g = -S (c - m)``. Training a task to its optimum gives such a site. A site at other params has the gradient that
    was measured there.

    Args:
        center: c, the task's params. The task has the parameters that are named here.
        precision: H; may be semi-definite.
        gradient: g of the task's mean loss at c, or None for a stationary site.
        carried: Floating-point buffers of the task's model.
        record: Unit, estimator and sample size.
        power: The task weight alpha that this site has as its power.
    """

    center: Params
    precision: Precision
    gradient: Params | None = None
    carried: Params = field(default_factory=dict)
    record: Record = field(default_factory=Record)
    power: float = 1.0

    __repr__ = one_line

    @classmethod
    def flat(cls, center: Params, carried: Params | None = None) -> "GaussianSite":
        """Make a site without curvature, which merges by simple averaging.

        >>> import torch
        >>> GaussianSite.flat({"w": torch.ones(1)}).precision.scale
        0.0
        """
        return cls(center, Isotropic(0.0), carried=carried or {})

    @property
    def params(self) -> Params:
        return self.center

    @property
    def buffers(self) -> Params:
        return self.carried

    def surrogate(self, at: Params) -> "tuple[GaussianSite, ...]":
        """Return this site alone: it is a Gaussian already."""
        return (self,)

    def check(self, owner: str) -> None:
        self.precision.check(self.center, owner)
        if self.gradient is not None:
            check_fit(self.center, self.gradient, f"the gradient of {owner}", among=set(self.gradient))

    def on(self, piece: Piece) -> "GaussianSite":
        """Restrict this site to one piece of the params."""
        gradient = None if self.gradient is None else piece.of(self.gradient)
        return GaussianSite(
            piece.of(self.center), self.precision.restrict(piece), gradient, self.carried, self.record, self.power
        )

    def __pow__(self, alpha: float) -> "GaussianSite":
        """Raise the site to the power of a task weight: H and g are multiplied by alpha."""
        gradient = None if self.gradient is None else {name: wide(g) * alpha for name, g in self.gradient.items()}
        return replace(self, precision=self.precision * alpha, gradient=gradient, power=self.power * alpha)

    def pull(self, prior: Gaussian) -> dict[str, Tensor]:
        """Compute ``H (c - m) - g``, the pull of this site on the mean m of the prior."""
        offset = {name: wide(self.center[name]) - wide(mean) for name, mean in prior.mean.items()}
        pull = self.precision.apply(offset)
        if self.gradient is None:
            own = prior.precision.apply(offset)
            return {name: part.add_(own[name], alpha=self.power) for name, part in pull.items()}
        return {name: part - wide(self.gradient[name]) for name, part in pull.items()}


def product(prior: Gaussian, sites: Sequence[GaussianSite], stop: Stop = EXACT) -> Gaussian:
    """Multiply the prior ``N(m, S)`` by sites.

    ::

        S' = S + sum_t H_t          m' = m + S'^-1 sum_t [H_t (c_t - m) - g_t]

    The computation uses displacements from m, in float32 or wider, and so no differences of large numbers. Where the
    sum of precisions has no closed form, conjugate gradients solve it, beginning at the sites' simple average.

    Args:
        prior: N(m, S); every site must have its names.
        sites: The sites to the power of their weights (``site ** alpha``).
        stop: When conjugate gradients stop, where they are needed.

    Returns:
        The Gaussian, with its mean in float32 or wider; the prior itself when there is no site.

    References:
        Monzón Maldonado, Möllenhoff, Daheim, Gurevych, Khan: How to Weight Multitask Finetuning?
        Fast Previews via Bayesian Model-Merging, 2024, https://arxiv.org/abs/2412.08147 (the
        idea; the formula follows from adding natural parameters).

    >>> import torch
    >>> prior = Gaussian({"w": torch.zeros(1)}, Isotropic(1.0))
    >>> site = GaussianSite({"w": torch.ones(1)}, Isotropic(3.0))
    >>> product(prior, [site**0.5]).mean["w"]
    tensor([0.8000])
    """
    precision = prior.precision
    total: dict[str, Tensor] = {}
    for site in sites:
        for name, part in site.pull(prior).items():
            total[name] = total[name].add_(part) if name in total else part
        precision = precision + site.precision
    if not total:
        return prior
    moved = (
        precision.solve(total, _average(prior, sites), stop) if isinstance(precision, Sum) else precision.solve(total)
    )
    return Gaussian({name: moved[name].add_(wide(mean)) for name, mean in prior.mean.items()}, precision)


def _average(prior: Gaussian, sites: Sequence[GaussianSite]) -> dict[str, Tensor]:
    """Compute ``sum_t alpha_t (c_t - m)``, the displacement of simple averaging."""
    total = {name: torch.zeros_like(wide(mean)) for name, mean in prior.mean.items()}
    for site in sites:
        for name, mean in prior.mean.items():
            total[name].add_(wide(site.center[name]) - wide(mean), alpha=site.power)
    return total
