"""A kind of model that foretaste does not know: a small BERT, made from a configuration, that scores texts."""

from collections.abc import Mapping, Sequence

import torch
import transformers
from torch import Tensor, nn

from foretaste.metric_kinds import AnyMetric
from foretaste.sources.data import column, read_rows, rows_digest
from foretaste.sources.kind import ModelKind
from foretaste.sources.problem import Problem, text_digest
from foretaste.sources.request import ModelRequest, TaskRequest
from foretaste.task import Batch, Example, Rows, Task

__all__ = ["SCORES", "Letters", "load_scores", "predict_scores"]


class Letters:
    """Texts as numbers, one for each letter.

    Args:
        length: Longer texts are cut, shorter ones padded with 0.
    """

    def __init__(self, length: int) -> None:
        self._length = length

    def code(self, texts: Sequence[str]) -> Tensor:
        """`[N, length]`, from 1 on."""
        rows = [[ord(letter) % 30 + 1 for letter in text[: self._length]] for text in texts]
        return torch.tensor([row + [0] * (self._length - len(row)) for row in rows])

    def collate(self, examples: Sequence[Example]) -> Mapping[str, Tensor]:
        """Stack examples to a batch; the model must not see the padding."""
        batch = {key: torch.stack([example[key] for example in examples]) for key in ("inputs", "labels")}
        return {**batch, "attention_mask": (batch["inputs"] > 0).long()}


def predict_scores(model: nn.Module, batch: Batch) -> Tensor:
    """`[B]` scores."""
    scores = model(input_ids=batch["inputs"], attention_mask=batch["attention_mask"]).logits[:, 0]
    assert isinstance(scores, Tensor)
    return scores


def load_scores(kind: ModelKind, model: ModelRequest, tasks: Sequence[TaskRequest]) -> Problem:
    """Make the model, and read the tasks' rows."""
    letters = kind.new_preparation(model.max_length)
    assert isinstance(letters, Letters)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    config = transformers.BertConfig(vocab_size=32, num_labels=1, max_position_embeddings=model.max_length, **sizes)
    with torch.random.fork_rng([]):
        torch.manual_seed(model.seed)
        network = kind.model_class(config)
    return Problem(network.eval(), tuple(_task(kind, letters, task) for task in tasks))


def _task(kind: ModelKind, letters: Letters, task: TaskRequest) -> Task:
    read, digests = [], []
    for _, where, split, most in task.parts:
        rows = read_rows(where, split, most)
        scores = torch.tensor(column(rows, task.single_columns["score"], where), dtype=torch.float32)
        read.append(Rows(letters.code(column(rows, task.single_columns["text"], where)), scores))
        digests.append(rows_digest(where, rows))
    return Task(
        task.name,
        read[0],
        read[1],
        [metric for metric in task.metrics if isinstance(metric, AnyMetric)],
        predict=kind.predictor(),
        collate=letters.collate,
        fingerprint=text_digest(digests),
        loss=kind.new_loss(),
    )


SCORES = ModelKind(
    name="text-scores",
    auto_class="transformers:BertForSequenceClassification",
    load=load_scores,
    preparation="toy_kind:Letters",
    predict="toy_kind:predict_scores",
    loss="foretaste.loss.squared:Squared",
    metric="foretaste.metrics:metric_named",
    metrics=("r2", "mean_absolute_error"),
    columns={"text": "text column", "score": "column of the number that is predicted"},
    required=("text", "score"),
    template=None,
)
