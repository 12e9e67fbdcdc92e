"""Previews as work: merge the tasks' sites at some weightings, and evaluate the merged models or train them further."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from foretaste.evaluation import Evaluation, Fidelity
from foretaste.method_table import METHOD_TABLE
from foretaste.methods.method import prior_of
from foretaste.methods.registry import find_method, require_params
from foretaste.methods.resident import place_merger
from foretaste.methods.site_set import Merger, SiteSet
from foretaste.methods.tune import PriorPrecision, is_tuned, tuned_precision
from foretaste.outputs import Outputs
from foretaste.params import Params, buffers_of, tensors_of
from foretaste.remembered import Memory
from foretaste.together import at_once, evaluate_each
from foretaste.train.sharpen import sharpen, sharpening
from foretaste.train.training import settings_of
from foretaste.weights import TaskWeights
from foretaste.work.context import Context
from foretaste.work.evaluation_work import EvaluationWork
from foretaste.work.judge import (
    collect_example_results,
    describe_evaluation,
    evaluate_row,
    needs_statistics,
    reestimate_statistics,
    row_of,
    use_precision,
)
from foretaste.work.observer import Observer
from foretaste.work.tracking import logged_run
from foretaste.work.work import Work

__all__ = ["Previews", "SharpenedPreview", "memory_of", "merger_of", "method_work", "preview_inputs", "sites_of"]


def method_work(context: Context, method: str) -> tuple[Work[Any], ...]:
    """List the work that a method needs before its first preview.

    Args:
        context: A context with the recipe and the tasks.
        method: The method's name.

    >>> from foretaste.workflow.example import small_study
    >>> with small_study() as context:
    ...     [str(work) for work in method_work(context, "simple")][:1]
    ["finetuning on task 'low'"]
    """
    work = find_method(method).work(context)
    row = METHOD_TABLE[method]
    chooses = row.has_curvature and not row.has_anchor and is_tuned(context.recipe)
    return (*work, PriorPrecision(method)) if chooses else work


def sites_of(context: Context, method: str) -> tuple[SiteSet, float]:
    """Make a method's sites, and choose the precision of their prior; the context remembers the last ones.

    Args:
        context: A context with the finished work of `method_work`.
        method: The method's name.

    Raises:
        StudyError: Some of the work is not finished.
    """

    def build() -> tuple[SiteSet, float]:
        sites = find_method(method).sites(context)
        precision, choice = tuned_precision(context, method, sites)
        return sites if choice is None else sites.add_work(choice), precision

    return context.remember("sites", method, build)


def merger_of(context: Context, method: str, observer: Observer | None = None) -> tuple[SiteSet, Merger]:
    """Make a method's sites, and put them under their prior; the context remembers the last ones.

    Args:
        context: A context with the finished work of `method_work`.
        method: The method's name.
        observer: Gets a message if the sites do not fit on the device.

    Raises:
        RecipeError: The method's previews have no params.
        StudyError: Some of the work is not finished.
    """
    require_params(method)
    sites, precision = sites_of(context, method)
    say = (lambda text: None) if observer is None else observer.say
    merger = context.remember(
        "merger", method, lambda: place_merger(context, sites.under(prior_of(context, precision)), say)
    )
    return sites, merger


def preview_inputs(context: Context, method: str, weights: TaskWeights) -> dict[str, object]:
    """Return everything that a preview's params depend on.

    Args:
        context: A context with the finished work of `method_work`.
        method: The method's name.
        weights: alpha.
    """
    sites, precision = sites_of(context, method)
    row = METHOD_TABLE[method]
    what = {"method": row.name_in_keys, "sites": sites.artefacts, "weights": weights.key}
    inputs: dict[str, object] = {**what, **sites.options, **context.space.inputs}
    if row.has_curvature:
        inputs["prior_precision"] = precision
    if row.has_params and needs_statistics(context):
        inputs["batch_norm"] = "reestimate"
    return inputs


@dataclass(frozen=True)
class Previews(EvaluationWork):
    """Previews by one method at some weightings.

    Args:
        method: The method's name.
        points: The weightings.
    """

    method: str
    points: tuple[TaskWeights, ...]

    @property
    def stage(self) -> str:  # type: ignore[override]
        return f"previews by {self.method}"

    def __str__(self) -> str:
        where = f"at {self.points[0]}" if len(self.points) == 1 else f"at {len(self.points)} weightings"
        return f"previews by {self.method} {where}"

    def needs(self, context: Context) -> tuple[Work[Any], ...]:
        return method_work(context, self.method)

    def begin(self, context: Context, observer: Observer) -> None:
        if METHOD_TABLE[self.method].has_params:
            merger_of(context, self.method, observer)

    def at_once(self, context: Context) -> int:
        if not METHOD_TABLE[self.method].has_params:
            return 1
        return at_once(context.problem.model, context.problem.tasks)

    def inputs_at(self, context: Context, weights: TaskWeights) -> dict[str, object]:
        return {**preview_inputs(context, self.method, weights), **describe_evaluation(context)}

    def evaluate(
        self, context: Context, points: Sequence[TaskWeights], observer: Observer
    ) -> list[tuple[Evaluation, Params]]:
        if METHOD_TABLE[self.method].has_params:
            return self._merge_and_evaluate(context, points, observer)
        return [self._mix(context, weights) for weights in points]

    def _merge_and_evaluate(
        self, context: Context, points: Sequence[TaskWeights], observer: Observer
    ) -> list[tuple[Evaluation, Params]]:
        """Make rows of weightings that are evaluated together; each costs its merge and its share of the rest."""
        _, merger = merger_of(context, self.method)
        many, seconds = [], []
        for weights in points:
            start = time.perf_counter()
            many.append(reestimate_statistics(context, merger.merge(weights).params, weights))
            seconds.append(time.perf_counter() - start)
        start, problem, recipe = time.perf_counter(), context.problem, context.recipe
        memory = context.remember("memory", context.key_in("merger"), lambda: memory_of(context, merger))
        on_batch = observer.stop_if_asked
        with memory.at_work(), use_precision(context):
            evaluated = evaluate_each(
                problem.model, many, problem.tasks, batch_size=recipe.preview.batch_size, on_batch=on_batch
            )
        share = (time.perf_counter() - start) / len(points)
        return [
            (
                row_of(results, weights, Fidelity.PREVIEW, self.method, seed=recipe.seed, cost=own + share),
                collect_example_results(results),
            )
            for results, weights, own in zip(evaluated, points, seconds, strict=True)
        ]

    def _mix(self, context: Context, weights: TaskWeights) -> tuple[Evaluation, Params]:
        """Make a row from stored outputs, as far as loss and metrics follow from them."""
        works, tasks = sites_of(context, self.method)[0].works, context.problem.tasks
        artefacts = {task: done[-1].artefact for task, done in works.items()}
        key = tuple(artefacts.items())
        outputs = context.remember(
            "outputs",
            key,
            lambda: {
                task.name: Outputs.from_tensors(context.study.tensors(artefacts[task.name]), task.loss)
                for task in tasks
            },
        )
        start = time.perf_counter()
        results = {task.name: outputs[task.name].results(task, [weights])[0] for task in tasks}
        cost = time.perf_counter() - start
        return row_of(
            results, weights, Fidelity.PREVIEW, self.method, seed=context.recipe.seed, cost=cost
        ), collect_example_results(results)


@dataclass(frozen=True)
class SharpenedPreview(EvaluationWork):
    """A preview after a few more joint steps.

    Args:
        method: The preview's method.
        steps: The number of joint steps.
        weights: alpha.
    """

    method: str
    steps: int
    weights: TaskWeights

    @property
    def stage(self) -> str:  # type: ignore[override]
        return f"previews by {self.method}, {self.steps} joint steps each"

    @property
    def points(self) -> tuple[TaskWeights, ...]:  # type: ignore[override]
        return (self.weights,)

    def __str__(self) -> str:
        return f"preview by {self.method} and {self.steps} joint steps at {self.weights}"

    def needs(self, context: Context) -> tuple[Work[Any], ...]:
        return method_work(context, self.method)

    def inputs_at(self, context: Context, weights: TaskWeights) -> dict[str, object]:
        inputs = preview_inputs(context, self.method, weights)
        training, realise = settings_of(context.joint_training), context.recipe.joint.realise
        return {
            **inputs,
            "sharpened": self.steps,
            "training": training,
            "realise": realise,
            **describe_evaluation(context),
        }

    def evaluate(
        self, context: Context, points: Sequence[TaskWeights], observer: Observer
    ) -> list[tuple[Evaluation, Params]]:
        start, problem, realise = time.perf_counter(), context.problem, context.recipe.joint.realise
        _, merger = merger_of(context, self.method, observer)
        params = reestimate_statistics(context, merger.merge(self.weights).params, self.weights)
        params = context.space.start(problem.model, params)
        training = context.joint_training
        name, key = f"{self.method}+{self.steps} {self.weights}", self.keys(context)[0]
        with logged_run(context, name, key, sharpening(training, self.steps), observer) as log:
            run = sharpen(
                problem.model,
                None,
                params,
                problem.tasks,
                self.weights,
                training,
                steps=self.steps,
                realise=realise,
                observer=log,
            )
        return [
            evaluate_row(context, run.params, self.weights, Fidelity.SHARPENED, self.method, start, steps=self.steps)
        ]


def memory_of(context: Context, merger: Merger) -> Memory:
    """Make a memory of what all previews share, such as the output of frozen modules.

    It is for previews that are evaluated one after the other. It is empty where they are evaluated together, and where
    a model writes texts or is judged, which are no passes over the data.

    Args:
        context: A context with the model and the tasks.
        merger: Makes the previews.

    >>> from foretaste.workflow.example import small_study
    >>> from foretaste.workflow.preview import prepare_merger
    >>> with small_study() as session:
    ...     memory_of(session, prepare_merger(session, "simple")[1]).modules
    []
    """
    model, tasks = context.problem.model, context.problem.tasks
    if at_once(model, tasks) > 1 or any(task.writes or task.judged for task in tasks):
        return Memory(model, tensors_of(model))
    own, moves = buffers_of(model), needs_statistics(context)
    runs = [site.buffers for site in merger.sites.values()] + ([] if merger.anchor is None else [merger.anchor.joint])
    moved = {
        name
        for run in runs
        for name in own
        if name in run and (moves or not torch.equal(run[name], own[name].to(run[name].device)))
    }
    return Memory(model, context.problem.trained | moved | set(merger.prior.mean))
