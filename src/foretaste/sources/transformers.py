"""Transformers models for text and image classification, with heads shared or private."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

from foretaste.errors import DataError, MissingExtra
from foretaste.params import parameters_of
from foretaste.sources.checkpoint import check_checkpoint
from foretaste.sources.data import Label, LabelSet, column, label_set, read_rows, rows_digest
from foretaste.sources.prepare import Images, Preparation, Texts
from foretaste.sources.problem import Problem, text_digest
from foretaste.task import Batch, Example, Examples, Metric, Task

try:
    import datasets
    import transformers
except ImportError as error:  # pragma: no cover - the tests install the extra
    raise MissingExtra("this recipe needs transformers and datasets; install them with: pip install 'foretaste[hf]'") from error

__all__ = ["DataPlan", "Head", "Heads", "Kind", "heads_of", "load"]

_P = ParamSpec("_P")
_R = TypeVar("_R")

Kind = Literal["text-classification", "image-classification"]
Head = Literal["auto", "shared", "private"]

_IMPOSSIBLE = -1e4  # a logit whose probability is 0 in every precision
_CLASSES = {
    "text-classification": transformers.AutoModelForSequenceClassification,
    "image-classification": transformers.AutoModelForImageClassification,
}


@dataclass(frozen=True)
class DataPlan:
    """One task's data, as a recipe names it.

    Args:
        name: The task.
        train: Path, folder or hub id.
        validation: The same.
        inputs: Text column or columns (a pair is encoded as a pair), or the image column.
        label: Label column.
        metrics: The first is the headline.
        labels: The label set, where it should not be taken from the data.
        max_train: At most so many training rows.
        max_validation: At most so many validation rows.
        splits: Names of the splits of a hub data set.
    """

    name: str
    train: str
    validation: str
    inputs: tuple[str, ...]
    label: str
    metrics: tuple[Metric, ...]
    labels: LabelSet | None = None
    max_train: int | None = None
    max_validation: int | None = None
    splits: tuple[str, str] = ("train", "validation")


@dataclass(frozen=True)
class _Data:
    """One task's rows, read and checked."""

    plan: DataPlan
    train: "datasets.Dataset"
    validation: "datasets.Dataset"
    known: tuple[list[Label], list[Label]]
    labels: LabelSet
    digest: str


class Heads(nn.Module):
    """One trunk with several classification heads; every example says which head it wants.

    The trunk sees a batch once, whatever heads its examples want.

    Args:
        models: Classification models of one architecture, by head; their trunks become the first one's.
        sizes: Classes of each head.
    """

    def __init__(self, models: Mapping[str, nn.Module], sizes: Sequence[int]) -> None:
        super().__init__()
        first = next(iter(models.values()))
        prefix = str(first.base_model_prefix)
        self.trunk = getattr(first, prefix)
        self.once = _Once(self.trunk)
        for model in models.values():
            setattr(model, prefix, self.once)
        self.heads = nn.ModuleDict({_key(name): model for name, model in models.items()})
        self.sizes = sizes

    def forward(self, head: Tensor, **inputs: Tensor) -> Tensor:
        """Logits, `[B, most classes]`, of each example's own head; classes it lacks are impossible.

        Args:
            head: `[B]`, places of heads.
            inputs: What the trunk takes.
        """
        logits: Tensor | None = None
        with self.once.remembering():
            for place in sorted(set(head.tolist())):
                found = list(self.heads.values())[place](**inputs).logits
                padded = nn.functional.pad(found, (0, max(self.sizes) - self.sizes[place]), value=_IMPOSSIBLE)
                mine = (head == place).unsqueeze(1)
                logits = padded if logits is None else torch.where(mine, padded, logits)
        assert logits is not None
        return logits


def _key(head: str) -> str:
    """A head's name among modules; a bare one such as `type` would hide a method of `ModuleDict`."""
    return f"for_{head}"


class _Once(nn.Module):
    """A trunk that runs once for several heads: within `remembering`, later calls get the first one's output."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk
        self._kept: list[object] | None = None

    @contextmanager
    def remembering(self) -> Iterator[None]:
        """All calls inside are for the same inputs."""
        self._kept = []
        try:
            yield
        finally:
            self._kept = None

    def forward(self, *args: object, **kwargs: object) -> object:
        """The trunk's output, a copy for each head: some heads change it in place."""
        if self._kept is None:
            return self.trunk(*args, **kwargs)
        if not self._kept:
            self._kept.append(self.trunk(*args, **kwargs))
        return _copied(self._kept[0])


def _copied(value: object) -> object:
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, transformers.utils.ModelOutput):
        return type(value)(**{key: _copied(each) for key, each in value.items()})
    return type(value)(_copied(each) for each in value) if isinstance(value, tuple) else value


def load(path: str, kind: Kind, plans: Sequence[DataPlan], *, head: Head = "auto", max_length: int = 128, seed: int = 0) -> Problem:
    """A pretrained model and tasks from data.

    Args:
        path: Checkpoint folder or hub id.
        kind: What the model does.
        plans: The tasks.
        head: One head for all tasks, one each, or (``auto``) one per distinct label set.
        max_length: Longest text in tokens.
        seed: Of the new heads' initial params.

    Raises:
        DataError: Anything that cannot be read or does not fit; the field is named.
    """
    with _quiet():
        data = [_read(plan) for plan in plans]
        if Path(path).is_dir():
            _at(("model", "path"), check_checkpoint, Path(path))
        groups = heads_of({each.plan.name: each.labels for each in data}, head)
        model = _at(("model", "path"), _model, path, kind, groups, seed)
        prepare = _at(("model", "path"), _preparation, path, kind, max_length)
        tasks = tuple(_task(each, model, groups, prepare) for each in data)
    described = "; ".join(f"{', '.join(members)}: {len(labels)} classes" for members, labels in groups.values())
    count = sum(tensor.numel() for tensor in parameters_of(model).values())
    architecture = f"{_architecture(model)}, {count:,} parameters"
    return Problem(model, tasks, (("architecture", architecture), ("model", path), ("heads", described)))


def _architecture(model: nn.Module) -> str:
    return type(next(iter(model.heads.values())) if isinstance(model, Heads) else model).__name__


def _preparation(path: str, kind: Kind, max_length: int) -> Preparation:
    return Texts(path, max_length) if kind == "text-classification" else Images(path)


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars or load reports of the libraries; ours says what matters."""
    verbosity, told = transformers.utils.logging.get_verbosity(), datasets.logging.get_verbosity()
    transformers.utils.logging.set_verbosity_error()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        transformers.utils.logging.set_verbosity(verbosity)
        datasets.logging.set_verbosity(told)
        transformers.utils.logging.enable_progress_bar()
        datasets.enable_progress_bars()


def _at(field: tuple[str, ...], function: Callable[_P, _R], *arguments: _P.args, **options: _P.kwargs) -> _R:
    """Call, naming the recipe's field in an error."""
    try:
        return function(*arguments, **options)
    except DataError as error:
        raise error.at(*field) from error.__cause__


def _read(plan: DataPlan) -> _Data:
    parts, known, sets = [], [], []
    for part, where, split, most in (
        ("train", plan.train, plan.splits[0], plan.max_train),
        ("validation", plan.validation, plan.splits[1], plan.max_validation),
    ):
        field = ("tasks", plan.name, part)
        rows = _at(field, read_rows, where, split, most)
        for name in plan.inputs:
            _at(field, column, rows.select([0]), name, where)
        values, labels = _at(field, label_set, rows, plan.label, where)
        parts.append(rows)
        known.append(values)
        sets.append(labels)
    allowed = plan.labels or sets[0]
    for part, where, values in zip(("train", "validation"), (plan.train, plan.validation), known, strict=True):
        _check_labels(values, allowed, where, ("tasks", plan.name, part))
    digest = text_digest([rows_digest(plan.train, parts[0]), rows_digest(plan.validation, parts[1]), plan.inputs, plan.label, allowed])
    return _Data(plan, parts[0], parts[1], (known[0], known[1]), allowed, digest)


def _check_labels(values: Sequence[Label], allowed: LabelSet, where: str, field: tuple[str, ...]) -> None:
    inside = set(allowed)
    for place, value in enumerate(values):
        if value not in inside:
            listed = ", ".join(str(each) for each in allowed[:10]) + (", ..." if len(allowed) > 10 else "")
            raise DataError(
                f"label {value!r} in row {place + 1} of {where} is not one of: {listed}; mend the row or list all labels under 'labels'"
            ).at(*field)


def heads_of(labels: Mapping[str, LabelSet], head: Head) -> dict[str, tuple[tuple[str, ...], LabelSet]]:
    """Which tasks share a head, and the label set of each.

    Args:
        labels: Label set by task.
        head: ``auto`` lets tasks of one label set share; ``shared`` unites all label sets.

    Returns:
        By head: its tasks and its labels.

    >>> heads_of({"a": (0, 1), "b": (0, 1), "c": ("x", "y")}, "auto")
    {'a+b': (('a', 'b'), (0, 1)), 'c': (('c',), ('x', 'y'))}
    """
    if head == "shared":
        united = sorted({label for each in labels.values() for label in each}, key=lambda value: (isinstance(value, str), value))
        return {"shared": (tuple(labels), tuple(united))}
    groups: dict[object, list[str]] = {}
    for task, found in labels.items():
        groups.setdefault(frozenset(found) if head == "auto" else task, []).append(task)
    return {"+".join(members): (tuple(members), labels[members[0]]) for members in groups.values()}


def _model(path: str, kind: Kind, groups: Mapping[str, tuple[tuple[str, ...], LabelSet]], seed: int) -> nn.Module:
    models = {}
    for place, (name, (_, labels)) in enumerate(groups.items()):
        with torch.random.fork_rng([]):
            torch.manual_seed(seed + place)
            models[name] = _pretrained(path, kind, labels)
    model = next(iter(models.values())) if len(models) == 1 else Heads(models, [len(labels) for _, labels in groups.values()])
    return model.eval()


def _pretrained(path: str, kind: Kind, labels: LabelSet) -> nn.Module:
    try:
        model = _CLASSES[kind].from_pretrained(
            path, num_labels=len(labels), ignore_mismatched_sizes=True, dtype=torch.float32, use_safetensors=True
        )
    except Exception as error:
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        advice = "name a folder with config.json and safetensors, or a hub id that can be reached"
        raise DataError(f"{path!r} cannot be loaded for {kind}: {message}; {advice}") from error
    model.config.id2label = {place: str(label) for place, label in enumerate(labels)}
    model.config.label2id = {str(label): place for place, label in enumerate(labels)}
    assert isinstance(model, nn.Module)
    return model


def _task(data: _Data, model: nn.Module, groups: Mapping[str, tuple[tuple[str, ...], LabelSet]], prepare: Preparation) -> Task:
    head, labels = next((name, labels) for name, (members, labels) in groups.items() if data.plan.name in members)
    place = {label: index for index, label in enumerate(labels)}
    train, validation = (
        _at(("tasks", data.plan.name, part), prepare.examples, rows, data.plan.inputs, [place[label] for label in known], where)
        for part, rows, known, where in (
            ("train", data.train, data.known[0], data.plan.train),
            ("validation", data.validation, data.known[1], data.plan.validation),
        )
    )
    if isinstance(model, Heads):
        wanted = torch.tensor(list(groups).index(head))
        train, validation = _ForHead(train, wanted), _ForHead(validation, wanted)
    return Task(
        data.plan.name,
        train,
        validation,
        data.plan.metrics,
        predict=_predict_heads if isinstance(model, Heads) else _predict,
        collate=prepare.collate,
        names=_names(model, head) if isinstance(model, Heads) else None,
        fingerprint=text_digest([data.digest, prepare.fingerprint, labels]),
        classes=tuple(str(label) for label in labels),
    )


def _names(model: Heads, head: str) -> frozenset[str]:
    return frozenset(name for name in parameters_of(model) if not name.startswith("heads.") or name.startswith(f"heads.{_key(head)}."))


def _predict(model: nn.Module, batch: Batch) -> Tensor:
    logits = model(**{key: tensor for key, tensor in batch.items() if key != "labels"}).logits
    assert isinstance(logits, Tensor)
    return logits


def _predict_heads(model: nn.Module, batch: Batch) -> Tensor:
    logits = model(**{key: tensor for key, tensor in batch.items() if key != "labels"})
    assert isinstance(logits, Tensor)
    return logits


@dataclass(frozen=True)
class _ForHead:
    """Examples that say which head they want."""

    examples: Examples
    place: Tensor

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int, /) -> Example:
        return {**self.examples[index], "head": self.place}
