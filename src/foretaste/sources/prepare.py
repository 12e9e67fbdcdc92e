"""Preparation: rows of texts or images become examples, and examples become batches."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from foretaste.errors import DataError
from foretaste.one_line import one_line
from foretaste.sources.data import column
from foretaste.sources.extra import PIL, datasets, transformers
from foretaste.sources.padding import align_padding
from foretaste.sources.pretrained import check_positions, tokenizer_at, tokenizer_text
from foretaste.sources.problem import text_digest
from foretaste.sources.request import TaskRequest
from foretaste.sources.row_warnings import Cut
from foretaste.task import Example, Examples

__all__ = ["EncodedTexts", "Images", "Preparation", "Texts"]

_KEPT_BYTES = 2 << 30


class Preparation(ABC):
    """Turns a task's rows into examples, and examples into batches."""

    fingerprint: str

    @abstractmethod
    def examples(self, rows: datasets.Dataset, inputs: Sequence[str], labels: Sequence[int], where: str) -> Examples:
        """Turn all rows into examples.

        Args:
            rows: The rows.
            inputs: Names of the columns to read.
            labels: The class of each row.
            where: The file's path or hub id, for errors.
        """

    def suited_to(self, task: TaskRequest, model: nn.Module) -> "Preparation":
        """Return this preparation, or for a task with a longest text of its own another one, whose batches are alike.

        Args:
            task: The task's request.
            model: A transformers model.

        Raises:
            DataError: The model has too few positions for the task's length.
        """
        return self

    @abstractmethod
    def collate(self, examples: list[Example]) -> dict[str, Tensor]:
        """Collate examples into a batch."""


class Texts(Preparation):
    """Tokenised texts, padded to the longest of a batch.

    Args:
        path: Folder or hub id of a tokenizer.
        max_length: Most tokens of a text; longer texts are cut.
        model: The transformers model of the texts; it gets the tokenizer's padding token (see `align_padding`).

    Raises:
        DataError: There is no tokenizer, or it does not suit the model.
    """

    def __init__(self, path: str, max_length: int, model: nn.Module | None = None) -> None:
        self._tokenizer = tokenizer_at(path)
        self._max_length = max_length
        self._vocabulary: int | None = None
        padding = self._tokenizer.pad_token_id or 0
        if model is not None:
            assert isinstance(model, transformers.PreTrainedModel)
            padding = align_padding(model, self._tokenizer, path)
            self._vocabulary = model.get_input_embeddings().num_embeddings
        self._padding = {"input_ids": padding}
        self.fingerprint = text_digest(["texts", max_length, tokenizer_text(self._tokenizer)])

    def suited_to(self, task: TaskRequest, model: nn.Module) -> Preparation:
        if task.max_length is None:
            return self
        check_positions(model, task.max_length, field=("finetune", "tasks", task.name))
        own = copy.copy(self)
        own._max_length = task.max_length
        own.fingerprint = text_digest(["texts", task.max_length, tokenizer_text(self._tokenizer)])
        return own

    def examples(self, rows: datasets.Dataset, inputs: Sequence[str], labels: Sequence[int], where: str) -> Examples:
        columns = [column(rows, name, where) for name in inputs]
        for name, values in zip(inputs, columns, strict=True):
            wrong = next((place for place, value in enumerate(values) if not isinstance(value, str)), None)
            if wrong is not None:
                type_name = type(values[wrong]).__name__
                raise DataError(
                    f"row {wrong + 1} of {where} has {type_name} in column {name!r} where a text is expected; name a"
                    " text column"
                )
        coded = self._tokenizer(*columns).data
        lengths = [len(ids) for ids in coded["input_ids"]]
        cut = Cut(sum(length > self._max_length for length in lengths), len(lengths), max(lengths, default=0))
        if cut.rows:
            coded = self._tokenizer(*columns, truncation=True, max_length=self._max_length).data
        self._check_tokens(coded["input_ids"], where)
        return EncodedTexts(coded, labels, cut)

    def _check_tokens(self, rows: Sequence[Sequence[int]], where: str) -> None:
        """Check that every row has tokens, and that these and the padding are in the model's vocabulary."""
        for place, ids in enumerate(rows):
            if not ids:
                raise DataError(f"row {place + 1} of {where} has no tokens: its text is empty; fill or remove it")
            most = max([*ids, self._padding["input_ids"]])
            if self._vocabulary is not None and most >= self._vocabulary:
                problem = f"row {place + 1} of {where} has the token {most}, the model knows {self._vocabulary}"
                raise DataError(f"{problem}; give the checkpoint its own tokenizer")

    def collate(self, examples: list[Example]) -> dict[str, Tensor]:
        columns = {key: [example[key] for example in examples] for key in examples[0]}
        return {
            key: (
                torch.nn.utils.rnn.pad_sequence(values, batch_first=True, padding_value=self._padding.get(key, 0))
                if values[0].dim()
                else torch.stack(values)
            )
            for key, values in columns.items()
        }


@dataclass(frozen=True)
class EncodedTexts:
    """Tokenised rows as lists of numbers.

    Args:
        columns: The tokenizer's output for each row, by name.
        labels: The class of each row.
        cut: The rows that were too long.
    """

    columns: dict[str, list[list[int]]]
    labels: Sequence[int]
    cut: Cut

    __repr__ = one_line

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int, /) -> Example:
        return {key: torch.tensor(values[index]) for key, values in self.columns.items()} | {
            "labels": torch.tensor(self.labels[index])
        }


class Images(Preparation):
    """Images that the model's own processor prepares.

    Args:
        path: Folder or hub id of an image processor.

    Raises:
        DataError: There is no image processor.
    """

    def __init__(self, path: str) -> None:
        try:
            self._processor = transformers.AutoImageProcessor.from_pretrained(path)
        except Exception as error:
            raise DataError(f"{path!r} has no image processor that can be loaded: {error}") from error
        self.fingerprint = text_digest(["images", sorted(self._processor.to_dict().items(), key=str)])

    def examples(self, rows: datasets.Dataset, inputs: Sequence[str], labels: Sequence[int], where: str) -> Examples:
        first = _image(rows, 0, inputs[0], where)
        size = self.pixels(first).numel() * 4 * len(rows)
        return _Pictures(rows, inputs[0], labels, self, where, {} if size <= _KEPT_BYTES else None)

    def pixels(self, image: PIL.Image.Image) -> Tensor:
        """Prepare one image, `[channels, height, width]`."""
        pixels = self._processor(image.convert("RGB"), return_tensors="pt")["pixel_values"][0]
        assert isinstance(pixels, Tensor)
        return pixels

    def collate(self, examples: list[Example]) -> dict[str, Tensor]:
        batch: dict[str, Tensor] = default_collate(examples)
        return batch


@dataclass(frozen=True)
class _Pictures:
    """Images that are prepared on demand, and cached if all of them fit into 2 GiB."""

    rows: datasets.Dataset
    name: str
    labels: Sequence[int]
    preparation: Images
    where: str
    cache: dict[int, Tensor] | None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int, /) -> Example:
        pixels = None if self.cache is None else self.cache.get(index)
        if pixels is None:
            pixels = self.preparation.pixels(_image(self.rows, index, self.name, self.where))
            if self.cache is not None:
                self.cache[index] = pixels
        return {"pixel_values": pixels, "labels": torch.tensor(self.labels[index])}


def _image(rows: datasets.Dataset, index: int, name: str, where: str) -> PIL.Image.Image:
    try:
        image = rows[index][name]
    except Exception as error:
        raise DataError(f"the image in row {index + 1} of {where} cannot be decoded: {error}") from error
    if not isinstance(image, PIL.Image.Image):
        type_name = type(image).__name__
        raise DataError(
            f"row {index + 1} of {where} has {type_name} in column {name!r} where an image is expected; name an image"
            " column"
        )
    return image
