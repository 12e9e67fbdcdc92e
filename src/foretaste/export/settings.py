"""What other trainers have to know of a mixture and of the joint run that it stands for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from foretaste.one_line import one_line
from foretaste.sources.kinds import CAUSAL_LM
from foretaste.task import Unit
from foretaste.train.training import Training

__all__ = [
    "READABLE",
    "TRAINER_NAMES",
    "LoraSettings",
    "Settings",
    "Source",
    "Trainer",
    "WrittenMixture",
    "batch_sizes",
]

Trainer = Literal["trl", "axolotl", "llama-factory", "nemo-automodel"]
TRAINER_NAMES: Mapping[Trainer, str] = {
    "trl": "TRL",
    "axolotl": "axolotl",
    "llama-factory": "LLaMA-Factory",
    "nemo-automodel": "NeMo AutoModel",
}

READABLE = (".jsonl", ".json", ".csv", ".parquet")


@dataclass(frozen=True)
class LoraSettings:
    """The LoRA factors of a joint run.

    Args:
        r: Rank.
        alpha: Numerator of the scaling.
        targets: Names of the layers with factors, or the ends of their names.
        dropout: Share of a layer's inputs that its factors do not see, in training.
        rslora: Whether the scaling is ``alpha / sqrt(r)``.
        train_a: Whether A is trained, or B alone.
    """

    r: int
    alpha: float
    targets: tuple[str, ...]
    dropout: float = 0.0
    rslora: bool = False
    train_a: bool = True

    __repr__ = one_line


@dataclass(frozen=True)
class Settings:
    """What a trainer needs to know beside the data.

    Args:
        model: Path or hub id.
        training: As of foretaste's joint run; its steps are not used, since the mixture's rows give them.
        max_length: Most tokens of a row.
        kind: Name of the kind of model; its row in the table of kinds says which trainers can be configured.
        lora: The factors, where the joint run trains these alone.
        trained: Names of the parameters that are trained, where the joint run freezes the others; all if left out.
    """

    model: str
    training: Training
    max_length: int = 1024
    kind: str = CAUSAL_LM.name
    lora: LoraSettings | None = None
    trained: tuple[str, ...] | None = None

    __repr__ = one_line


@dataclass(frozen=True)
class Source:
    """A file all of whose rows are one task's training rows.

    Args:
        file: In a format that LLaMA-Factory reads, see `READABLE`.
        columns: Column by what it is (``prompt``, ``completion``, ``messages``, ``text``).
    """

    file: Path
    columns: Mapping[str, str]

    __repr__ = one_line


@dataclass(frozen=True)
class WrittenMixture:
    """A written mixture, as a trainer sees it.

    Args:
        data: The file: absolute, or relative to the folder that the trainer runs in.
        unit: What alpha's losses are means over.
        roles: The columns that are trained on, by the names of what they are.
        columns: All columns of the file.
        counts: Rows by task, none of them 0.
        tokens: Label tokens of these rows by task.
        sources: By task, where all rows of a file are the task's; empty where that is not so of every task.
    """

    data: Path
    unit: Unit
    roles: tuple[str, ...]
    columns: tuple[str, ...]
    counts: Mapping[str, int]
    tokens: Mapping[str, int]
    sources: Mapping[str, Source] = field(default_factory=dict)

    __repr__ = one_line

    @property
    def rows(self) -> int:
        """The number of rows of all tasks together."""
        return sum(self.counts.values())

    def output(self, trainer: Trainer) -> str:
        """Return the folder that a trainer writes its model to, beside the file."""
        return str(self.data.parent / f"trained-by-{trainer}")

    @property
    def builder(self) -> str:
        """What `datasets` calls the file's format."""
        return "parquet" if self.data.suffix == ".parquet" else "json"


def batch_sizes(training: Training) -> tuple[int, int]:
    """Rows per backward pass, and how many of these make a step.

    >>> batch_sizes(Training(steps=1, batch_size=12, micro_batch=5))
    (4, 3)
    """
    most = min(training.micro_batch or training.batch_size, training.batch_size)
    micro = next(size for size in range(most, 0, -1) if training.batch_size % size == 0)
    return micro, training.batch_size // micro
