"""Transformers models for text and image classification, with heads shared or private."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from foretaste.metric_kinds import AnyMetric
from foretaste.params import parameters_of
from foretaste.sources.architecture import architecture_of, configuration
from foretaste.sources.checkpoint import check_checkpoint
from foretaste.sources.class_rows import ClassRows, check_rows, read_parts
from foretaste.sources.class_view import ClassView
from foretaste.sources.class_warnings import one_class_warnings
from foretaste.sources.data import LabelSet, RawRows, check_columns
from foretaste.sources.extra import transformers
from foretaste.sources.heads import Heads
from foretaste.sources.kind import ModelKind
from foretaste.sources.kinds import kind_named
from foretaste.sources.prepare import EncodedTexts, Images, Preparation, Texts
from foretaste.sources.pretrained import at, check_positions, pretrained, quiet, saver
from foretaste.sources.problem import Problem, text_digest
from foretaste.sources.reading import reader
from foretaste.sources.request import FLOAT32, Format, Head, ModelRequest, TaskRequest
from foretaste.sources.row_warnings import TaskRows, cut_warning, file_warnings, overlap_warnings
from foretaste.task import Batch, Example, Examples, Task

__all__ = ["heads_of", "load", "load_kind", "predict_classes", "prepare_images", "prepare_texts"]


def load(
    path: str,
    kind: str,
    plans: Sequence[TaskRequest],
    *,
    head: Head = "auto",
    max_length: int = 128,
    seed: int = 0,
    form: Format = FLOAT32,
) -> Problem:
    """Load a pretrained classifier and its tasks from data.

    Args:
        path: Checkpoint folder or hub id.
        kind: Name of the kind of model.
        plans: The tasks.
        head: One head for all tasks, one each, or (``auto``) one per distinct label set.
        max_length: Longest text in tokens.
        seed: Seed of the new heads' initial params.
        form: The form of the checkpoint's params.

    Raises:
        DataError: Something cannot be read or does not fit; the field is named.

    >>> from foretaste.metrics import METRICS
    >>> plan = TaskRequest("news", "no/train.csv", "no/test.csv", (METRICS["accuracy"],), {"text": "text"})
    >>> load("no-checkpoint", "text-classification", [plan])
    Traceback (most recent call last):
    ...
    foretaste.errors.DataError: no/train.csv does not exist; relative paths start at the recipe's folder
    """
    with quiet():
        parts = [read_parts(plan) for plan in plans]
        check_columns(
            (part, (*plan.inputs, plan.label)) for plan, own in zip(plans, parts, strict=True) for part in own
        )
        data = [check_rows(plan, own) for plan, own in zip(plans, parts, strict=True)]
        if Path(path).is_dir():
            at(("model", "path"), check_checkpoint, Path(path))
        groups = heads_of({task_data.plan.name: task_data.labels for task_data in data}, head)
        load_one = partial(pretrained, path, kind, form=form)
        model = at(("model", "path"), _model, load_one, groups, seed)
        row = kind_named(kind)
        prepare = at(("model", "path"), row.new_preparation, path, max_length, model)
        assert isinstance(prepare, Preparation)
        tasks = tuple(_task(row, task_data, model, groups, prepare) for task_data in data)
    described = "; ".join(f"{', '.join(members)}: {len(labels)} classes" for members, labels in groups.values())
    rows = {
        task_data.plan.name: RawRows.of(
            (task_data.train, task_data.validation), task_data.plan.train, task_data.plan.max_train, {}
        )
        for task_data in data
    }
    warnings = _warnings(data, tasks, max_length)
    warning_facts = (("warning", "; ".join(warnings)),) if warnings else ()
    facts = (
        ("architecture", architecture_of(model, _owner(model))),
        ("model", path),
        ("heads", described),
        *warning_facts,
    )
    own_name = model.own_name if isinstance(model, Heads) else str
    view = ClassView({task_data.plan.name: task_data for task_data in data})
    return Problem(
        model, tasks, facts, saver(path), reader(path, kind), own_name, _new_in(model), rows, warnings, view=view
    )


def _warnings(data: Sequence[ClassRows], tasks: Sequence[Task], max_length: int) -> tuple[str, ...]:
    """Collect warnings about data that distort results, a line each."""
    warnings = list(
        overlap_warnings(
            {
                task_data.plan.name: TaskRows(task_data.train, task_data.validation, task_data.plan.inputs)
                for task_data in data
            }
        )
    )
    for task_data, task in zip(data, tasks, strict=True):
        plan, labels = task_data.plan, task_data.values[1]
        warnings += one_class_warnings(task.name, task.metrics, set(labels), len(labels))
        parts = (
            ("training", task.train, plan.train, task_data.train, plan.max_train),
            ("validation", task.validation, plan.validation, task_data.validation, plan.max_validation),
        )
        for part, task_examples, where, rows, most in parts:
            examples = task_examples.examples if isinstance(task_examples, _ForHead) else task_examples
            warnings += (
                cut_warning(task.name, part, examples.cut, plan.max_length or max_length)
                if isinstance(examples, EncodedTexts)
                else ()
            )
            warnings += file_warnings(where, rows, most, quoted=plan.quoted)
    return tuple(warnings)


def _new_in(model: nn.Module) -> frozenset[str]:
    """Name the new parameters: those of heads, and of poolers, which many checkpoints lack."""
    trunk = "trunk." if isinstance(model, Heads) else f"{model.base_model_prefix}."
    return frozenset(name for name in parameters_of(model) if not name.startswith(trunk) or ".pooler." in name)


def _owner(model: nn.Module) -> nn.Module:
    """Return the transformers model, or the first of several that share a trunk."""
    return next(iter(model.heads.values())) if isinstance(model, Heads) else model


def load_kind(kind: ModelKind, model: ModelRequest, tasks: Sequence[TaskRequest]) -> Problem:
    """Load a classifier of a kind in the table of kinds; see `load`."""
    return load(
        model.path,
        kind.name,
        tasks,
        head=model.head,
        max_length=model.max_length,
        seed=model.seed,
        form=model.form,
    )


def prepare_images(path: str, max_length: int, model: nn.Module) -> Preparation:
    """Make the preparation of images; length and model do not matter."""
    return Images(path)


def prepare_texts(path: str, max_length: int, model: nn.Module) -> Preparation:
    """Make the preparation of texts; each head's own model gets the tokenizer's padding.

    Args:
        path: Folder or hub id of the tokenizer.
        max_length: Most tokens of a text.
        model: The transformers model, or `Heads`.

    Raises:
        DataError: The model has too few positions, or the tokenizer does not suit it.
    """
    check_positions(_owner(model), max_length)
    if not isinstance(model, Heads):
        return Texts(path, max_length, model)
    with model.apart() as models:
        preparations = [Texts(path, max_length, own) for own in models.values()]
    return preparations[0]


def heads_of(labels: Mapping[str, LabelSet], head: Head) -> dict[str, tuple[tuple[str, ...], LabelSet]]:
    """Group tasks by head, and give each head its label set.

    Args:
        labels: Label set by task.
        head: ``auto`` lets tasks of one label set share; ``shared`` unites all label sets.

    Returns:
        The tasks and the labels of each head, by its name.

    >>> heads_of({"a": (0, 1), "b": (0, 1), "c": ("x", "y")}, "auto")
    {'a+b': (('a', 'b'), (0, 1)), 'c': (('c',), ('x', 'y'))}
    """
    if head == "shared":
        united = sorted(
            {label for label_set in labels.values() for label in label_set},
            key=lambda value: (isinstance(value, str), value),
        )
        return {"shared": (tuple(labels), tuple(united))}
    groups: dict[object, list[str]] = {}
    for task, own_labels in labels.items():
        groups.setdefault(frozenset(own_labels) if head == "auto" else task, []).append(task)
    return {"+".join(members): (tuple(members), labels[members[0]]) for members in groups.values()}


def _model(
    load_one: Callable[[int], nn.Module], groups: Mapping[str, tuple[tuple[str, ...], LabelSet]], seed: int
) -> nn.Module:
    models = {}
    for place, (name, (_, labels)) in enumerate(groups.items()):
        with torch.random.fork_rng([]):
            torch.manual_seed(seed + place)
            models[name] = load_one(len(labels))
        _name_labels(models[name], labels)
    model = (
        next(iter(models.values()))
        if len(models) == 1
        else Heads(models, [len(labels) for _, labels in groups.values()])
    )
    return model.eval()


def _name_labels(model: nn.Module, labels: LabelSet) -> None:
    """Write the labels into a model's configuration."""
    assert isinstance(model, transformers.PreTrainedModel)
    config: transformers.PretrainedConfig = model.config
    config.id2label = {place: str(label) for place, label in enumerate(labels)}
    config.label2id = {str(label): place for place, label in enumerate(labels)}


def _task(
    kind: ModelKind,
    data: ClassRows,
    model: nn.Module,
    groups: Mapping[str, tuple[tuple[str, ...], LabelSet]],
    prepare: Preparation,
) -> Task:
    head, labels = next((name, labels) for name, (members, labels) in groups.items() if data.plan.name in members)
    place = {label: index for index, label in enumerate(labels)}
    own = prepare.suited_to(data.plan, _owner(model))
    train, validation = (
        at(
            ("tasks", data.plan.name, part),
            own.examples,
            rows,
            data.plan.inputs,
            [place[label] for label in values],
            where,
        )
        for part, rows, values, where in (
            ("train", data.train, data.values[0], data.plan.train),
            ("validation", data.validation, data.values[1], data.plan.validation),
        )
    )
    if isinstance(model, Heads):
        head_place = torch.tensor(list(groups).index(head))
        train, validation = _ForHead(train, head_place), _ForHead(validation, head_place)
    return Task(
        data.plan.name,
        train,
        validation,
        [metric for metric in data.plan.metrics if isinstance(metric, AnyMetric)],
        predict=_predict_heads if isinstance(model, Heads) else kind.predictor(),
        collate=prepare.collate,
        names=model.names(head) if isinstance(model, Heads) else None,
        fingerprint=text_digest([data.digest, own.fingerprint, labels, configuration(_owner(model))]),
        classes=tuple(str(label) for label in labels),
        loss=kind.new_loss(),
    )


def predict_classes(model: nn.Module, batch: Batch) -> Tensor:
    """Return the logits `[B, C]` of a batch."""
    logits = model(**{key: tensor for key, tensor in batch.items() if key != "labels"}).logits
    assert isinstance(logits, Tensor)
    return logits


def _predict_heads(model: nn.Module, batch: Batch) -> Tensor:
    logits = model(**{key: tensor for key, tensor in batch.items() if key != "labels"})
    assert isinstance(logits, Tensor)
    return logits


@dataclass(frozen=True)
class _ForHead:
    """Examples that name their head by its place."""

    examples: Examples
    place: Tensor

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int, /) -> Example:
        return {**self.examples[index], "head": self.place}
