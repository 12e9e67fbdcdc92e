"""The table of the kinds of models that a recipe can name, one row each.

A row has everything that depends on the kind: how a model is loaded, which columns its tasks read, how rows become
batches, the loss, the metrics, and the words of other libraries. All other rooms look kinds up here, and none mentions
a kind by its name.
"""

import difflib
from collections.abc import Iterable

from foretaste.errors import RecipeError
from foretaste.sources.kind import ModelKind

__all__ = [
    "CAUSAL_LM",
    "IMAGE_CLASSIFICATION",
    "SEQ2SEQ",
    "TEXT_CLASSIFICATION",
    "column_description",
    "column_roles",
    "kind_named",
    "kinds",
    "list_names",
    "metric_names",
    "register",
]


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


def list_names(rows: Iterable[ModelKind]) -> str:
    """List the names of some kinds, for a sentence.

    >>> list_names([CAUSAL_LM, SEQ2SEQ])
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
        reads_text=True,
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
        metric="foretaste.sources.language_metrics:metric_named",
        metrics=("perplexity", "token_accuracy", "exact_match", "bleu", "chrf"),
        columns={
            "prompt": "column of what the completion follows; prompt if left out",
            "completion": "column of what is to be learned; completion if left out",
            "messages": "column of chats, lists of role and content; messages if left out",
            "tools": "column of the tools that a chat's assistant may call, JSON schemas; tools if left out",
            "text": "text column, to learn every token of",
        },
        formats=(("messages",), ("prompt", "completion"), ("text",)),
        units=("token", "example"),
        reads_text=True,
        writes_text=True,
        harness=True,
        trainers={"trl": "sft", "axolotl": "sft", "llama-factory": "sft", "nemo-automodel": "sft"},
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
        metric="foretaste.sources.language_metrics:metric_named",
        metrics=("perplexity", "token_accuracy", "exact_match", "bleu", "chrf"),
        columns={
            "source": "column of what is read; source if left out",
            "target": "column of what is written; target if left out",
        },
        formats=(("source", "target"),),
        units=("token", "example"),
        reads_text=True,
        writes_text=True,
        peft_type="SEQ_2_SEQ_LM",
        template="seq2seq",
    )
)
