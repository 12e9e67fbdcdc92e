"""The anchored method: the better of Kronecker and diagonal previews, corrected by one joint run."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from foretaste.lendable import overlaid
from foretaste.merge import correct_preview
from foretaste.methods.diagonal import Diagonal
from foretaste.methods.kronecker import Kronecker
from foretaste.methods.method import Method, prior_of
from foretaste.methods.site_set import AnchorRun, SiteSet
from foretaste.methods.tune import ChoiceWork, PriorPrecision, is_tuned, tuned_precision
from foretaste.params import Params
from foretaste.weights import uniform
from foretaste.work.context import Context
from foretaste.work.judge import objective
from foretaste.work.runs import JointRun
from foretaste.work.work import Work

__all__ = ["AnchorTrust", "Anchored"]

_CURVED = (Kronecker(), Diagonal())


class Anchored(Method):
    """The better of two previews, corrected by the error of merging at the joint run of uniform weights.

    Validation loss (`foretaste.work.judge.objective`) decides which preview is better, and how much of the correction
    is used elsewhere. No correction at all is among the choices, so the method is never worse than the previews it
    starts from, by this loss.
    """

    name = "anchored"

    def work(self, context: Context) -> tuple[Work[Any], ...]:
        return (*_uncorrected_work(context), AnchorTrust())

    def sites(self, context: Context) -> SiteSet:
        own, trust = _uncorrected(context), AnchorTrust().stored_result(context)
        weights = uniform(context.problem.names)
        params = _joint_params(context)
        return own.anchor_at(AnchorRun(weights, params, trust.value)).add_work(trust.done)


@dataclass(frozen=True)
class AnchorTrust(ChoiceWork):
    """The choice of how much of the correction is used at other weights: a number from 0 to 1."""

    stage = "trust in the joint run"

    def __str__(self) -> str:
        return "choosing how far to trust the joint run of the anchored method"

    def needs(self, context: Context) -> tuple[Work[Any], ...]:
        return _uncorrected_work(context)

    def first(self, context: Context) -> tuple[float, ...]:
        return (0.0, 0.5, 1.0)

    def own_inputs(self, context: Context) -> dict[str, object]:
        own = _uncorrected(context)
        inputs = {"sites": own.artefacts, "prior_precision": own.precision, **own.options}
        return {**inputs, **context.space.inputs}

    def loss_of(self, context: Context) -> Callable[[float], float]:
        own, weights = _uncorrected(context), uniform(context.problem.names)
        joint = _joint_params(context)
        assert own.precision is not None
        merged = functools.cache(own.under(prior_of(context, own.precision)).merge)
        return lambda trust: objective(
            context, lambda at: correct_preview(merged(at), merged(weights), joint, trust).params
        )


def _joint_run(context: Context) -> JointRun:
    return JointRun(uniform(context.problem.names))


def _joint_params(context: Context) -> Params:
    """Read the joint run's params in the coordinates that merges have; all of them, with its buffers."""
    params, problem = context.study.tensors(_joint_run(context).done(context).artefact), context.problem
    center = context.space.center(problem.model, problem.trained, params)
    return overlaid(center, context.space.carried(problem.model, params))


def _uncorrected_work(context: Context) -> tuple[Work[Any], ...]:
    choices = [PriorPrecision(method.name) for method in _CURVED] if is_tuned(context.recipe) else []
    return (*(work for method in _CURVED for work in method.work(context)), *choices, _joint_run(context))


def _uncorrected(context: Context) -> SiteSet:
    """Return Kronecker or diagonal sites, whichever have the lower validation loss; Kronecker under a fixed prior."""
    sites = {method.name: method.sites(context) for method in _CURVED}
    precisions = {method.name: tuned_precision(context, method.name, sites[method.name])[0] for method in _CURVED}
    choices = (
        {method.name: PriorPrecision(method.name).stored_result(context) for method in _CURVED}
        if is_tuned(context.recipe)
        else {}
    )
    best = min(choices, key=lambda name: choices[name].loss, default="kronecker")
    works = {task: tuple(work for own in sites.values() for work in own.works[task]) for task in context.problem.names}
    site_set = replace(
        sites[best], works=works, precision=precisions[best], options={**sites[best].options, "curvature": best}
    )
    finished = [*(choice.done for choice in choices.values()), _joint_run(context).done(context)]
    return functools.reduce(SiteSet.add_work, finished, site_set)
