"""The result of a preview method: every task's site, ready for any prior and any weights."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch

from foretaste.merge import Preview, correct_preview, merge
from foretaste.methods.merge_updates import merge_updates
from foretaste.one_line import one_line
from foretaste.params import Params
from foretaste.posterior.conjugate import EXACT, Stop
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.mixture import MixtureSite
from foretaste.posterior.placing import bytes_of, place_on
from foretaste.posterior.site import GaussianSite, Site
from foretaste.store.study import Done
from foretaste.updates import Updates
from foretaste.weights import TaskWeights

__all__ = ["AnchorRun", "Merger", "SiteSet", "Sites"]

Sites = Mapping[str, Site]


@dataclass(frozen=True)
class AnchorRun:
    """A joint run that shows the error of merging at its weights.

    Args:
        weights: The joint run's weights.
        joint: The joint run's params.
        trust: The share of the error by which other previews are corrected, from 0 to 1.
    """

    weights: TaskWeights
    joint: Params
    trust: float = 1.0

    __repr__ = one_line


@dataclass(frozen=True)
class Merger:
    """Sites under a prior, which can be merged at any weights.

    Args:
        prior: The prior around the pretrained params.
        sites: One site per task.
        start: Sites whose merge is the start of this one; None to start at the prior.
        temperatures: For mixtures, the temperatures of one merge after the other, each starting at the end of the last.
            Without any, every mixture has its own temperature.
        stop: When conjugate gradients stop, where the sites need them.
        anchor: A joint run that corrects the merged params.
        device: The device to merge on; the device of the prior and the sites, if left out.
    """

    prior: Gaussian
    sites: Sites
    start: Sites | None = None
    temperatures: tuple[float, ...] = ()
    stop: Stop = EXACT
    anchor: AnchorRun | None = None
    device: torch.device | None = None

    __repr__ = one_line

    def on(self, device: torch.device) -> "Merger":
        """Copy this merger with all its tensors on a device.

        >>> import torch
        >>> from foretaste.posterior.isotropic import Isotropic
        >>> merger = Merger(Gaussian({"w": torch.zeros(1)}, Isotropic(1.0)), {}).on(torch.device("meta"))
        >>> merger.prior.mean["w"].device.type
        'meta'
        """
        prior, sites, start, anchor = place_on((self.prior, self.sites, self.start, self.anchor), device)
        return replace(self, prior=prior, sites=sites, start=start, anchor=anchor, device=device)

    @property
    def bytes(self) -> int:
        """The bytes of all tensors."""
        return bytes_of((self.prior, self.sites, self.start, self.anchor))

    @property
    def streams(self) -> bool:
        """Whether all sites are Gaussian, so that they may be on another device than the merge."""
        return all(
            isinstance(site, GaussianSite) for sites in (self.sites, self.start or {}) for site in sites.values()
        )

    def merge(self, weights: TaskWeights) -> Preview:
        """Merge the sites at these weights.

        >>> import torch
        >>> from foretaste.posterior.isotropic import Isotropic
        >>> from foretaste.posterior.site import GaussianSite
        >>> prior = Gaussian({"w": torch.zeros(1)}, Isotropic(1.0))
        >>> Merger(prior, {"a": GaussianSite({"w": torch.ones(1)}, Isotropic(1.0))}).merge(
        ...     TaskWeights(["a"], [1.0])
        ... ).params
        {'w': tensor([1.])}
        """
        preview = self._merge_sites(weights)
        if self.anchor is None or not self.anchor.trust:
            return preview
        return correct_preview(preview, self._at_anchor, self.anchor.joint, self.anchor.trust)

    @cached_property
    def _at_anchor(self) -> Preview:
        assert self.anchor is not None
        return self._merge_sites(self.anchor.weights)

    def _merge_sites(self, weights: TaskWeights) -> Preview:
        begin: Params | None = None if self.start is None else self._merge_once(self.start, weights, None).params
        for temperature in self.temperatures or (None,):
            preview = self._merge_once(_with_temperature(self.sites, temperature), weights, begin)
            begin = preview.params
        return preview

    def _merge_once(self, sites: Sites, weights: TaskWeights, start: Params | None) -> Preview:
        if isinstance(self.prior.mean, Updates):
            return merge_updates(self.prior, self.prior.mean, sites, weights, start, self.stop, self.device)
        return merge(self.prior, sites, weights, start=start, stop=self.stop, device=self.device)


def _with_temperature(sites: Sites, temperature: float | None) -> Sites:
    if temperature is None:
        return sites
    return {
        task: site.at_temperature(temperature) if isinstance(site, MixtureSite) else site
        for task, site in sites.items()
    }


@dataclass(frozen=True)
class SiteSet:
    """A method's sites for any prior.

    Args:
        works: By task, the finished work that its site rests on: runs, then estimates.
        sites: Makes the sites from the prior.
        start: Makes the sites whose merge is the start, from the prior, where the start matters.
        temperatures: See `Merger`.
        stop: See `Merger`.
        anchor: See `Merger`.
        options: Everything else that previews depend on, beside sites, prior and weights; a part of their keys.
        precision: The prior's precision, where the method has chosen one.
        prior: The prior, where it is another than that of other methods.
    """

    works: Mapping[str, tuple[Done, ...]]
    sites: Callable[[Gaussian], Sites]
    start: Callable[[Gaussian], Sites] | None = None
    temperatures: tuple[float, ...] = ()
    stop: Stop = EXACT
    anchor: AnchorRun | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    precision: float | None = None
    prior: Gaussian | None = None

    __repr__ = one_line

    @property
    def artefacts(self) -> dict[str, list[str]]:
        """Hashes of the tensors that each task's site is made of, and keys of work without tensors."""
        return {task: [done.artefact or done.key for done in works] for task, works in self.works.items()}

    @property
    def seconds(self) -> float:
        """The time that all of this work took, training included; work that tasks share counts once."""
        return sum({done.key: done.seconds for works in self.works.values() for done in works}.values())

    def under(self, prior: Gaussian) -> Merger:
        """Put the sites under a prior, ready to be merged."""
        prior = self.prior or prior
        return Merger(
            prior, self.sites(prior), self.start and self.start(prior), self.temperatures, self.stop, self.anchor
        )

    def anchor_at(self, anchor: AnchorRun) -> "SiteSet":
        """Copy these sites with a joint run that corrects their merges."""
        return replace(
            self, anchor=anchor, options={**self.options, "trust": anchor.trust, "joint run": anchor.weights.key}
        )

    def add_work(self, done: Done) -> "SiteSet":
        """Copy these sites with one more piece of work that every task's site rests on."""
        return replace(self, works={task: (*works, done) for task, works in self.works.items()})
