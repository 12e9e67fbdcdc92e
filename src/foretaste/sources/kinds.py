"""The kinds of models that a recipe can name: one row of one table for each.

A row says everything that depends on the kind: how a model is loaded, which columns its tasks read, how rows become batches, the
loss, the metrics, and what other libraries call it. All other rooms look a kind up here, and none of them knows a kind by its name.

A reference such as ``"foretaste.loss.cross_entropy:CrossEntropy"`` is imported when it is first needed, so that reading this table
costs nothing and an optional library may be missing.
"""

import difflib
import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from foretaste.errors import RecipeError
from foretaste.one_line import one_line

if TYPE_CHECKING:
    import transformers

    from foretaste.loss.loss import Loss
    from foretaste.loss.unit import Unit
    from foretaste.sources.harness import Asked
    from foretaste.sources.problem import Problem
    from foretaste.sources.request import ModelRequest, TaskRequest
    from foretaste.task import AnyMetric, Predict

__all__ = [
    "CAUSAL_LM",
    "IMAGE_CLASSIFICATION",
    "SEQ2SEQ",
    "TEXT_CLASSIFICATION",
    "ModelKind",
    "column_description",
    "column_roles",
    "kind_named",
    "kinds",
    "metric_names",
    "names_listed",
    "register",
]


@dataclass(frozen=True)
class ModelKind:
    """One kind of model: a row of the table.

    Args:
        name: As recipes write it under ``model.kind``.
        auto_class: Reference to the class whose ``from_pretrained`` loads a checkpoint; any library's.
        load: Function of this row, a `ModelRequest` and the tasks' requests that returns a `Problem`; or a reference to one.
        preparation: Reference to what makes examples of rows and batches of examples; the loader calls it.
        predict: Reference to the function from a model and a batch to outputs.
        loss: Reference to the loss, which is made without arguments.
        metric: Reference to the function from a metric's name to the metric.
        metrics: Names of the metrics that a recipe may ask for; the first is the headline where a recipe names none.
        columns: What each role of a task's columns is, in a few words, by role.
        required: Roles whose columns a task must name.
        formats: Sets of roles that make up a row, the usual one first; empty if all roles belong to one form of rows.
        units: What losses may be means over; the first is taken if a recipe does not say.
        has_heads: Whether tasks may have heads of their own.
        writes_text: Whether a model can be asked to write, as metrics of texts need.
        harness: Whether lm-evaluation-harness can measure such a model.
        trainers: Other trainers that can be configured for this kind, each with its own word for this training.
        peft_type: PEFT's ``task_type``; None if PEFT has none for this kind.
        template: Name of the recipe that ``foretaste init`` writes; None if it writes none.
    """

    name: str
    auto_class: str
    load: "str | Callable[[ModelKind, ModelRequest, Sequence[TaskRequest]], Problem]"
    preparation: str
    predict: str
    loss: str
    metric: str
    metrics: tuple[str, ...]
    columns: Mapping[str, str]
    required: tuple[str, ...] = ()
    formats: tuple[tuple[str, ...], ...] = ()
    units: "tuple[Unit, ...]" = ("example",)
    has_heads: bool = False
    writes_text: bool = False
    harness: bool = False
    trainers: Mapping[str, str] = field(default_factory=dict)
    peft_type: str | None = None
    template: str | None = None

    __repr__ = one_line

    @property
    def model_class(self) -> "type[transformers.PreTrainedModel]":
        """The class whose ``from_pretrained`` loads a checkpoint."""
        return cast("type[transformers.PreTrainedModel]", _resolve(self.auto_class))

    @property
    def headline(self) -> str:
        """The metric that tasks are judged by where a recipe names none."""
        return self.metrics[0]

    def load_problem(self, model: "ModelRequest", tasks: "Sequence[TaskRequest]") -> "Problem":
        """Load the model and its tasks.

        Raises:
            DataError: Something cannot be read or does not fit; the recipe's field is named.
        """
        loader = _resolve(self.load) if isinstance(self.load, str) else self.load
        return cast("Callable[[ModelKind, ModelRequest, Sequence[TaskRequest]], Problem]", loader)(self, model, tasks)

    def new_loss(self) -> "Loss":
        """Make the loss that tasks of this kind are trained with."""
        return cast("Callable[[], Loss]", _resolve(self.loss))()

    def new_preparation(self, *arguments: object) -> object:
        """Make what turns rows into examples, and examples into batches; the loader knows its arguments and its type."""
        return cast("Callable[..., object]", _resolve(self.preparation))(*arguments)

    def predictor(self) -> "Predict":
        """Return the function from a model and a batch to outputs."""
        return cast("Predict", _resolve(self.predict))

    def metric_named(self, name: str) -> "AnyMetric | Asked":
        """Return one of the kind's metrics.

        Raises:
            MissingExtra: The metric needs a library that is not installed.
        """
        return cast("Callable[[str], AnyMetric | Asked]", _resolve(self.metric))(name)


def _resolve(reference: str) -> object:
    """Import what a reference ``module:name`` stands for."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)


_KINDS: dict[str, ModelKind] = {}


def register(kind: ModelKind) -> ModelKind:
    """Add a kind to the table; a kind of the same name is replaced.

    Args:
        kind: The row.

    Returns:
        The same row.
    """
    _KINDS[kind.name] = kind
    return kind


def kinds() -> tuple[ModelKind, ...]:
    """Return all rows of the table, in the order in which they were added.

    >>> [kind.name for kind in kinds()][:2]
    ['text-classification', 'image-classification']
    """
    return tuple(_KINDS.values())


def kind_named(name: str) -> ModelKind:
    """Return the row of a kind.

    Raises:
        RecipeError: There is no such kind; the nearest name is suggested.

    >>> kind_named("seq2seq").headline
    'perplexity'
    >>> kind_named("seq2sec")
    Traceback (most recent call last):
    ...
    foretaste.errors.RecipeError: unknown kind 'seq2sec'; did you mean 'seq2seq'?
    """
    if name not in _KINDS:
        close = difflib.get_close_matches(name, _KINDS, n=1)
        advice = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(_KINDS)}"
        raise RecipeError(f"unknown kind {name!r}; {advice}")
    return _KINDS[name]


def names_listed(rows: Iterable[ModelKind]) -> str:
    """List the names of some kinds, for a sentence.

    >>> names_listed([CAUSAL_LM, SEQ2SEQ])
    'causal-lm and seq2seq'
    """
    return " and ".join(kind.name for kind in rows)


def metric_names() -> tuple[str, ...]:
    """Return the names of all kinds' metrics, each once.

    >>> metric_names()[:3]
    ('accuracy', 'f1', 'mcc')
    """
    return tuple(dict.fromkeys(name for kind in kinds() for name in kind.metrics))


def column_roles() -> tuple[str, ...]:
    """Return the roles that columns have in any kind, each once.

    >>> column_roles()[:3]
    ('text', 'label', 'labels')
    """
    return tuple(dict.fromkeys(role for kind in kinds() for role in kind.columns))


def column_description(role: str) -> str:
    """Describe what a role's column holds, for each kind that reads it.

    >>> column_description("source")
    'seq2seq: column of what is read; source if left out'
    """
    described: dict[str, list[str]] = {}
    for kind in kinds():
        if role in kind.columns:
            described.setdefault(kind.columns[role], []).append(kind.name)
    return "; ".join(f"{', '.join(names)}: {text}" for text, names in described.items())


_CLASSIFIER = "foretaste.sources.transformers"
_LANGUAGE = "foretaste.sources.language"
_LABELS = {"label": "label column", "labels": "all labels, in order; taken from the data if left out"}

TEXT_CLASSIFICATION = register(
    ModelKind(
        name="text-classification",
        auto_class="transformers:AutoModelForSequenceClassification",
        load=f"{_CLASSIFIER}:load_kind",
        preparation=f"{_CLASSIFIER}:prepare_texts",
        predict=f"{_CLASSIFIER}:predict_classes",
        loss="foretaste.loss.cross_entropy:CrossEntropy",
        metric="foretaste.metrics:metric_named",
        metrics=("accuracy", "f1", "mcc"),
        columns={"text": "text column, or two for pairs", **_LABELS},
        required=("text",),
        has_heads=True,
        peft_type="SEQ_CLS",
        template="text",
    )
)

IMAGE_CLASSIFICATION = register(
    ModelKind(
        name="image-classification",
        auto_class="transformers:AutoModelForImageClassification",
        load=f"{_CLASSIFIER}:load_kind",
        preparation=f"{_CLASSIFIER}:prepare_images",
        predict=f"{_CLASSIFIER}:predict_classes",
        loss="foretaste.loss.cross_entropy:CrossEntropy",
        metric="foretaste.metrics:metric_named",
        metrics=("accuracy", "f1", "mcc"),
        columns={"image": "image column", **_LABELS},
        required=("image",),
        has_heads=True,
        template="image",
    )
)

CAUSAL_LM = register(
    ModelKind(
        name="causal-lm",
        auto_class="transformers:AutoModelForCausalLM",
        load=f"{_LANGUAGE}:load_kind",
        preparation=f"{_LANGUAGE}:prepare_tokens",
        predict=f"{_LANGUAGE}:predict_next_tokens",
        loss="foretaste.loss.token_cross_entropy:TokenCrossEntropy",
        metric=f"{_LANGUAGE}:metric_named",
        metrics=("perplexity", "token_accuracy", "exact_match", "bleu", "chrf"),
        columns={
            "prompt": "column of what the completion follows; prompt if left out",
            "completion": "column of what is to be learned; completion if left out",
            "messages": "column of chats, lists of role and content; messages if left out",
            "text": "text column, to learn every token of",
        },
        formats=(("messages",), ("prompt", "completion"), ("text",)),
        units=("token", "example"),
        writes_text=True,
        harness=True,
        trainers={"trl": "sft", "axolotl": "sft", "llama-factory": "sft"},
        peft_type="CAUSAL_LM",
        template="causal-lm",
    )
)

SEQ2SEQ = register(
    ModelKind(
        name="seq2seq",
        auto_class="transformers:AutoModelForSeq2SeqLM",
        load=f"{_LANGUAGE}:load_kind",
        preparation=f"{_LANGUAGE}:prepare_tokens",
        predict=f"{_LANGUAGE}:predict_target_tokens",
        loss="foretaste.loss.token_cross_entropy:TokenCrossEntropy",
        metric=f"{_LANGUAGE}:metric_named",
        metrics=("perplexity", "token_accuracy", "exact_match", "bleu", "chrf"),
        columns={
            "source": "column of what is read; source if left out",
            "target": "column of what is written; target if left out",
        },
        formats=(("source", "target"),),
        units=("token", "example"),
        writes_text=True,
        peft_type="SEQ_2_SEQ_LM",
        template="seq2seq",
    )
)
