"""A site with a second opinion: the task's own Gaussian, and one taken at the params of a joint run.

A Gaussian site describes its task well near the params it was made at. Joint finetuning under
weights u gives params in the middle of the simplex; there each task has a gradient and a
curvature, which make a second site. The two are mixed by how near they are to a point x::

    r(x) = trust * d_own / (d_own + d_anchor)        d = |x - centre|^2
    site(x) = own ** (1 - r)  *  anchor ** r

(inverse-distance weighting: a mixture whose components have heavy tails, so that r stays between
0 and 1 in many dimensions). At the task's own params the own site rules, so a corner stays exact;
at the joint params the anchor does. ``trust`` damps it: 0 is the own site alone.

References:
    Shepard: A Two-Dimensional Interpolation Function for Irregularly-Spaced Data, 1968,
    https://doi.org/10.1145/800186.810616 (inverse-distance weighting). That sites may be taken
    anywhere follows from the error identity of Gaussian merging.
"""

import math
from dataclasses import dataclass

from foretaste.errors import ParamsError
from foretaste.one_line import one_line
from foretaste.params import Params, check_fit, wide
from foretaste.posterior.site import GaussianSite, Record, Site

__all__ = ["AnchoredSite"]


@dataclass(frozen=True)
class AnchoredSite(Site):
    """A task's own site, corrected by one at a joint run's params.

    Args:
        own: Made by training on the task alone.
        anchor: Gradient and curvature of the task at the joint run's params.
        trust: From 0 (the own site alone) to 1.

    Raises:
        ParamsError: An anchor without a gradient, of other names or units, or a trust outside 0 to 1.

    >>> import torch
    >>> from foretaste.posterior.isotropic import Isotropic
    >>> own = GaussianSite({"w": torch.zeros(1)}, Isotropic(1.0))
    >>> anchor = GaussianSite({"w": torch.ones(1)}, Isotropic(2.0), gradient={"w": torch.zeros(1)})
    >>> [part.power for part in AnchoredSite(own, anchor).surrogate({"w": torch.tensor([0.5])})]
    [0.5, 0.5]
    """

    own: Site
    anchor: GaussianSite
    trust: float = 1.0

    __repr__ = one_line

    def __post_init__(self) -> None:
        if self.anchor.gradient is None:
            raise ParamsError("an anchor needs the task's gradient at the joint params; estimate it with gradient=True")
        if not 0 <= self.trust <= 1:
            raise ParamsError(f"trust in an anchor is between 0 and 1, not {self.trust}")
        check_fit(self.own.params, self.anchor.center, "the anchor")
        if self.own.record.unit != self.anchor.record.unit:
            raise ParamsError(f"site in {self.own.record.unit}s, anchor in {self.anchor.record.unit}s; estimate both in one unit")

    @property
    def record(self) -> Record:  # type: ignore[override]
        return self.own.record

    @property
    def params(self) -> Params:
        return self.own.params

    @property
    def buffers(self) -> Params:
        return self.own.buffers

    def check(self, whose: str) -> None:
        self.own.check(whose)
        self.anchor.check(f"the anchor of {whose}")

    def share(self, at: Params) -> float:
        """r: how much the anchor counts at a point."""
        near, far = _distance(at, self.anchor.center), _distance(at, self.params)
        return self.trust * far / (far + near) if far else 0.0

    def surrogate(self, at: Params) -> tuple[GaussianSite, ...]:
        share = self.share(at)
        parts = self.own.surrogate(at)
        if share == 0:
            return parts
        kept = () if share == 1 else tuple(part ** (1 - share) for part in parts)
        return (*kept, self.anchor**share)


def _distance(at: Params, center: Params) -> float:
    return math.fsum(float((wide(at[name]) - wide(tensor)).double().square().sum()) for name, tensor in center.items())
