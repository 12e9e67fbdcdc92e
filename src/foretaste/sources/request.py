"""Requests of a recipe to a source: the model to load, and the data of each task."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from foretaste.one_line import one_line

if TYPE_CHECKING:
    import datetime

    from foretaste.loss.unit import Unit
    from foretaste.metric_kinds import AnyMetric

__all__ = [
    "FLOAT32",
    "Attention",
    "Dtype",
    "Format",
    "HarnessMetric",
    "HarnessOptions",
    "Head",
    "ModelRequest",
    "Quantization",
    "TaskRequest",
]

Head = Literal["auto", "shared", "private"]
Dtype = Literal["auto", "bfloat16", "float32"]
Attention = Literal["sdpa", "eager", "flash_attention_2"]
Quantization = Literal["nf4", "int8"]

_LABEL_ROLES = ("label", "labels")


@dataclass(frozen=True)
class HarnessMetric:
    """A metric of lm-evaluation-harness, as a recipe names it.

    Args:
        name: The full name, as it appears in tables.
        task: A task of the harness, or a group that combines its tasks' metrics.
        metric: Name of one of the task's metrics.
        filter: Name of the filter of answers; may be left out if the task has only one.
    """

    name: str
    task: str
    metric: str
    filter: str | None = None


@dataclass(frozen=True)
class HarnessOptions:
    """Options of lm-evaluation-harness for all of its tasks.

    Args:
        tasks: Folder with YAML files of the user's own tasks; they come before the harness's.
        num_fewshot: Examples in a prompt, unless a task allows none; the task's own number if left out.
        limit: Most documents of each task; all if left out.
        batch_size: Requests per forward pass; 8 if left out.
        chat_template: Whether prompts are put into the tokenizer's chat template; no if left out.
    """

    tasks: str | None = None
    num_fewshot: int | None = None
    limit: int | None = None
    batch_size: int | None = None
    chat_template: bool | None = None


@dataclass(frozen=True)
class Format:
    """The form in which a checkpoint's params are loaded, and how the model computes.

    Args:
        dtype: Number format of the checkpoint's params: ``bfloat16``, ``float32``, or ``auto`` for bfloat16 where the
            checkpoint has it and the device is fast in it, and float32 elsewhere.
        attention: How attention is computed; transformers' choice if left out.
        quantization: Bits of the linear layers' weights: ``nf4`` for 4, ``int8`` for 8; as ``dtype`` if left out.
    """

    dtype: Dtype = "float32"
    attention: Attention | None = None
    quantization: Quantization | None = None


FLOAT32 = Format()


@dataclass(frozen=True)
class ModelRequest:
    """The request for a model.

    Args:
        path: Checkpoint folder or hub id.
        head: One head for all tasks, one each, or (``auto``) one per distinct label set.
        max_length: Longest text in tokens.
        unit: Unit that losses are means over; the kind's first unit if left out.
        max_new_tokens: Most tokens written for metrics of texts; the source's default if left out.
        harness: Options of lm-evaluation-harness.
        seed: Seed of new parameters, such as heads.
        form: The form of the checkpoint's params.
        date: The day that chats are of where their template writes one; the template's own or a usual one if left out.
    """

    path: str
    head: Head = "auto"
    max_length: int = 128
    unit: "Unit | None" = None
    max_new_tokens: int | None = None
    harness: HarnessOptions | None = None
    seed: int = 0
    form: Format = FLOAT32
    date: "datetime.date | None" = None

    __repr__ = one_line


@dataclass(frozen=True)
class TaskRequest:
    """The request for one task's data.

    Args:
        name: The task's name.
        train: Path, folder or hub id of the training data.
        validation: Path, folder or hub id of the validation data.
        metrics: The metrics; the first is the headline.
        columns: Column names by role (``text``, ``image``, ``label``, ``prompt``, ...); two for pairs of texts.
        labels: The label set; taken from the data if left out.
        max_train: Most training rows that are used; all if left out.
        max_validation: Most validation rows that are used; all if left out.
        splits: Names of the training and the validation split of a hub data set.
        quoted: Whether fields of .tsv files may stand in quotation marks.
        max_length: Longest text of the task's rows, in tokens; as in the model's request if left out.

    >>> task = TaskRequest("pairs", "a.csv", "b.csv", (), {"text": ("premise", "hypothesis")})
    >>> task.inputs, task.label
    (('premise', 'hypothesis'), 'label')
    """

    name: str
    train: str
    validation: str
    metrics: "tuple[AnyMetric | HarnessMetric, ...]"
    columns: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    labels: tuple[str | int, ...] | None = None
    max_train: int | None = None
    max_validation: int | None = None
    splits: tuple[str, str] = ("train", "validation")
    quoted: bool = False
    max_length: int | None = None

    __repr__ = one_line

    @property
    def inputs(self) -> tuple[str, ...]:
        """List the columns to read, without the label's."""
        names: list[str] = []
        for role, columns in self.columns.items():
            if role not in _LABEL_ROLES:
                names += [columns] if isinstance(columns, str) else columns
        return tuple(names)

    @property
    def label(self) -> str:
        """Return the label column."""
        column = self.columns.get("label", "label")
        return column if isinstance(column, str) else column[0]

    @property
    def single_columns(self) -> dict[str, str]:
        """Return the columns by role, for kinds that read one column for each role."""
        return {role: column for role, column in self.columns.items() if isinstance(column, str)}

    @property
    def parts(self) -> tuple[tuple[str, str, str, int | None], ...]:
        """Return part, path, split and most rows of the training data and of the validation data."""
        return (
            ("train", self.train, self.splits[0], self.max_train),
            ("validation", self.validation, self.splits[1], self.max_validation),
        )
