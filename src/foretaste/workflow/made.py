"""What a preview method makes: every task's site, ready for any prior and any weights."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from foretaste.merge import Preview, merge
from foretaste.params import Params
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.mixture import MixtureSite
from foretaste.posterior.site import Site
from foretaste.store.study import Done
from foretaste.weights import TaskWeights

__all__ = ["Made", "Ready"]

Sites = Mapping[str, Site]


@dataclass(frozen=True)
class Ready:
    """Sites under a prior: any weights can be merged.

    Args:
        prior: Around the pretrained params.
        sites: One per task.
        start: Sites whose merge is where this one begins; None to begin at the prior.
        temperatures: For mixtures: one merge after the other, each beginning where the last ended.
        steps: Bound on the steps of each merge.
    """

    prior: Gaussian
    sites: Sites
    start: Sites | None = None
    temperatures: tuple[float, ...] = (1.0,)
    steps: int = 50

    def merge(self, weights: TaskWeights) -> Preview:
        """The preview at these weights.

        >>> import torch
        >>> from foretaste.posterior.isotropic import Isotropic
        >>> from foretaste.posterior.site import GaussianSite
        >>> prior = Gaussian({"w": torch.zeros(1)}, Isotropic(1.0))
        >>> Ready(prior, {"a": GaussianSite({"w": torch.ones(1)}, Isotropic(1.0))}).merge(TaskWeights(["a"], [1.0])).params
        {'w': tensor([1.])}
        """
        begin: Params | None = None if self.start is None else merge(self.prior, self.start, weights).params
        for temperature in self.temperatures:
            tempered = {task: site.tempered(temperature) if isinstance(site, MixtureSite) else site for task, site in self.sites.items()}
            found = merge(self.prior, tempered, weights, start=begin, max_steps=self.steps)
            begin = found.params
        return found


@dataclass(frozen=True)
class Made:
    """A method's sites for any prior.

    Args:
        works: Per task, the finished work that its site rests on: runs, then estimates.
        sites: From the prior to the sites.
        start: From the prior to the sites whose merge the merge begins at, where it matters.
        temperatures: See `Ready`.
        steps: See `Ready`.
        options: What the preview depends on beside sites, prior and weights; part of its name.
    """

    works: Mapping[str, tuple[Done, ...]]
    sites: Callable[[Gaussian], Sites]
    start: Callable[[Gaussian], Sites] | None = None
    temperatures: tuple[float, ...] = (1.0,)
    steps: int = 50
    options: Mapping[str, object] = field(default_factory=dict)

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
        return Ready(prior, self.sites(prior), self.start and self.start(prior), self.temperatures, self.steps)

    def resting_on(self, done: Done) -> "Made":
        """The same, resting on one more piece of work for every task."""
        return replace(self, works={task: (*works, done) for task, works in self.works.items()})
