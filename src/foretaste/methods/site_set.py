"""What a preview method makes: every task's site, ready for any prior and any weights."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch

from foretaste.merge import Preview, correct_preview, merge
from foretaste.one_line import one_line
from foretaste.params import Params
from foretaste.posterior.conjugate import EXACT, Stop
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.mixture import MixtureSite
from foretaste.posterior.placing import bytes_of, place_on
from foretaste.posterior.site import GaussianSite, Site
from foretaste.store.study import Done
from foretaste.weights import TaskWeights

__all__ = ["AnchorRun", "Merger", "SiteSet", "Sites"]

Sites = Mapping[str, Site]


@dataclass(frozen=True)
class AnchorRun:
    """A joint run that shows how far off merging is.

    Args:
        weights: Where the joint run was made.
        joint: Its params.
        trust: How much of the difference previews elsewhere are moved by, from 0 to 1.
    """

    weights: TaskWeights
    joint: Params
    trust: float = 1.0

    __repr__ = one_line


@dataclass(frozen=True)
class Merger:
    """Sites under a prior: they can be merged at any weights.

    Args:
        prior: Around the pretrained params.
        sites: One per task.
        start: Sites whose merge is where this one begins; None to begin at the prior.
        temperatures: For mixtures: one merge after the other, each beginning where the last one ended;
            without any, every mixture keeps its own.
        stop: When conjugate gradients stop, where the sites need them.
        anchor: A joint run that corrects what was merged.
        device: Where to merge; where the prior and the sites lie, if left out.
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
        """The same merger with all its tensors on a device.

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
        """The size of its tensors."""
        return bytes_of((self.prior, self.sites, self.start, self.anchor))

    @property
    def streams(self) -> bool:
        """Whether all sites are Gaussian, so that they may lie elsewhere than where they are merged."""
        return all(
            isinstance(site, GaussianSite) for sites in (self.sites, self.start or {}) for site in sites.values()
        )

    def merge(self, weights: TaskWeights) -> Preview:
        """The preview at these weights.

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
        sites: From the prior to the sites.
        start: From the prior to the sites whose merge the merge begins at, where it matters.
        temperatures: See `Merger`.
        stop: See `Merger`.
        anchor: See `Merger`.
        options: What previews depend on beside sites, prior and weights; part of their keys.
        precision: The prior's, where the method has chosen one.
    """

    works: Mapping[str, tuple[Done, ...]]
    sites: Callable[[Gaussian], Sites]
    start: Callable[[Gaussian], Sites] | None = None
    temperatures: tuple[float, ...] = ()
    stop: Stop = EXACT
    anchor: AnchorRun | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    precision: float | None = None

    __repr__ = one_line

    @property
    def artefacts(self) -> dict[str, list[str]]:
        """What each task's site is made of: hashes of tensors, and keys of work without any."""
        return {task: [done.artefact or done.key for done in works] for task, works in self.works.items()}

    @property
    def seconds(self) -> float:
        """Time spent on all of it, training included; work that tasks share counts once."""
        return sum({done.key: done.seconds for works in self.works.values() for done in works}.values())

    def under(self, prior: Gaussian) -> Merger:
        """The sites under a prior, ready to be merged."""
        return Merger(
            prior, self.sites(prior), self.start and self.start(prior), self.temperatures, self.stop, self.anchor
        )

    def anchored_at(self, anchor: AnchorRun) -> "SiteSet":
        """The same sites, corrected by a joint run."""
        return replace(
            self, anchor=anchor, options={**self.options, "trust": anchor.trust, "joint run": anchor.weights.key}
        )

    def resting_on(self, done: Done) -> "SiteSet":
        """The same sites, resting on one more piece of work for every task."""
        return replace(self, works={task: (*works, done) for task, works in self.works.items()})
