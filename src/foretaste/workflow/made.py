"""What a preview method makes: every task's site, ready for any prior and any weights."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch

from foretaste.merge import Preview, corrected, merge
from foretaste.one_line import one_line
from foretaste.params import Params
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.mixture import MixtureSite
from foretaste.posterior.placing import bytes_of, place_on
from foretaste.posterior.precision import EXACT, Stop
from foretaste.posterior.site import GaussianSite, Site
from foretaste.store.study import Done
from foretaste.weights import TaskWeights

__all__ = ["Known", "Made", "Ready", "Sites"]

Sites = Mapping[str, Site]


@dataclass(frozen=True)
class Known:
    """A joint run that shows what merging is off by.

    Args:
        weights: That it was made at.
        joint: Its params.
        trust: From 0 to 1.
    """

    weights: TaskWeights
    joint: Params
    trust: float = 1.0

    __repr__ = one_line


@dataclass(frozen=True)
class Ready:
    """Sites under a prior: any weights can be merged.

    Args:
        prior: Around the pretrained params.
        sites: One per task.
        start: Sites whose merge is where this one begins; None to begin at the prior.
        temperatures: For mixtures: one merge after the other, each beginning where the last ended;
            without any, every mixture keeps its own.
        stop: When conjugate gradients do, where the sites need them.
        known: A joint run that corrects what was merged.
        device: Where to merge; where the prior and the sites lie, if left out.
    """

    prior: Gaussian
    sites: Sites
    start: Sites | None = None
    temperatures: tuple[float, ...] = ()
    stop: Stop = EXACT
    known: Known | None = None
    device: torch.device | None = None

    __repr__ = one_line

    def on(self, device: torch.device) -> "Ready":
        """The same with all its tensors on a device.

        >>> import torch
        >>> from foretaste.posterior.isotropic import Isotropic
        >>> ready = Ready(Gaussian({"w": torch.zeros(1)}, Isotropic(1.0)), {}).on(torch.device("meta"))
        >>> ready.prior.mean["w"].device.type
        'meta'
        """
        prior, sites, start, known = place_on((self.prior, self.sites, self.start, self.known), device)
        return replace(self, prior=prior, sites=sites, start=start, known=known, device=device)

    @property
    def bytes(self) -> int:
        """What its tensors take."""
        return bytes_of((self.prior, self.sites, self.start, self.known))

    @property
    def streams(self) -> bool:
        """Whether all that is merged are Gaussian sites, which may lie elsewhere than where they are merged."""
        return all(isinstance(site, GaussianSite) for sites in (self.sites, self.start or {}) for site in sites.values())

    def merge(self, weights: TaskWeights) -> Preview:
        """The preview at these weights.

        >>> import torch
        >>> from foretaste.posterior.isotropic import Isotropic
        >>> from foretaste.posterior.site import GaussianSite
        >>> prior = Gaussian({"w": torch.zeros(1)}, Isotropic(1.0))
        >>> Ready(prior, {"a": GaussianSite({"w": torch.ones(1)}, Isotropic(1.0))}).merge(TaskWeights(["a"], [1.0])).params
        {'w': tensor([1.])}
        """
        found = self._merged(weights)
        if self.known is None or not self.known.trust:
            return found
        return corrected(found, self._at_known, self.known.joint, self.known.trust)

    @cached_property
    def _at_known(self) -> Preview:
        assert self.known is not None
        return self._merged(self.known.weights)

    def _merged(self, weights: TaskWeights) -> Preview:
        begin: Params | None = None if self.start is None else self._one(self.start, weights, None).params
        for temperature in self.temperatures or (None,):
            found = self._one(_tempered(self.sites, temperature), weights, begin)
            begin = found.params
        return found

    def _one(self, sites: Sites, weights: TaskWeights, start: Params | None) -> Preview:
        return merge(self.prior, sites, weights, start=start, stop=self.stop, device=self.device)


def _tempered(sites: Sites, temperature: float | None) -> Sites:
    if temperature is None:
        return sites
    return {task: site.tempered(temperature) if isinstance(site, MixtureSite) else site for task, site in sites.items()}


@dataclass(frozen=True)
class Made:
    """A method's sites for any prior.

    Args:
        works: Per task, the finished work that its site rests on: runs, then estimates.
        sites: From the prior to the sites.
        start: From the prior to the sites whose merge the merge begins at, where it matters.
        temperatures: See `Ready`.
        stop: See `Ready`.
        known: See `Ready`.
        options: What the preview depends on beside sites, prior and weights; part of its name.
        precision: Of the prior, where its maker has chosen one.
    """

    works: Mapping[str, tuple[Done, ...]]
    sites: Callable[[Gaussian], Sites]
    start: Callable[[Gaussian], Sites] | None = None
    temperatures: tuple[float, ...] = ()
    stop: Stop = EXACT
    known: Known | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    precision: float | None = None

    __repr__ = one_line

    @property
    def artefacts(self) -> dict[str, list[str]]:
        """What each task's site is made of: hashes of tensors, keys of work without any."""
        return {task: [done.artefact or done.key for done in works] for task, works in self.works.items()}

    @property
    def seconds(self) -> float:
        """Time spent on all of it, training included; work that tasks share counts once."""
        return sum({done.key: done.seconds for works in self.works.values() for done in works}.values())

    def under(self, prior: Gaussian) -> Ready:
        """Ready to be merged into a prior."""
        return Ready(prior, self.sites(prior), self.start and self.start(prior), self.temperatures, self.stop, self.known)

    def knowing(self, known: Known) -> "Made":
        """The same, corrected by a joint run."""
        return replace(self, known=known, options={**self.options, "trust": known.trust, "joint run": known.weights.key})

    def resting_on(self, done: Done) -> "Made":
        """The same, resting on one more piece of work for every task."""
        return replace(self, works={task: (*works, done) for task, works in self.works.items()})
