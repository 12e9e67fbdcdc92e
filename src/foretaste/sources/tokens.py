"""Tokens: rows of text become examples of token ids, with labels where the model is to learn.

A causal model's labels are shifted here: ``labels[i]`` is the token that should follow ``input_ids[:i + 1]``, so that
logits and labels line up. Both kinds of model get sequences padded on the right, with an attention mask. The label of
padding does not count.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from foretaste.errors import DataError
from foretaste.loss.class_labels import find_counted, hide_labels, pad_labels
from foretaste.one_line import one_line
from foretaste.sources.extra import transformers
from foretaste.sources.pretrained import check_positions, tokenizer_text
from foretaste.sources.problem import text_digest
from foretaste.sources.request import TaskRequest
from foretaste.task import Example

__all__ = ["EncodedRows", "Row", "Segment", "Tokens", "answer_of"]

Segment = tuple[str, bool]


@dataclass(frozen=True)
class Row:
    """One row as tokens.

    Args:
        inputs: Ids that the model reads.
        labels: Ids that it should predict, or a label that does not count; a causal model has one per input.
        reference: The text that it should write after a prompt; None without a prompt.
        cut: Whether tokens were left out because the row is too long.
        length: Number of tokens before the cut; that of the longer one of source and target.
        masked: Whether the row has answers that are not learned.
        moved: Whether messages of the developer are written as those of the system.
        lost: Number of learned tokens that were left out because the row is too long.
    """

    inputs: Sequence[int]
    labels: Sequence[int]
    reference: str | None = None
    cut: bool = False
    length: int = field(default=0, compare=False)
    masked: bool = False
    moved: bool = False
    lost: int = field(default=0, compare=False)

    __repr__ = one_line

    @property
    def learned(self) -> list[bool]:
        """Tell of each label whether it is learned."""
        flags: list[bool] = find_counted(torch.tensor(self.labels)).tolist()
        return flags


@dataclass(frozen=True)
class EncodedRows:
    """Rows as examples; a reference is kept as the bytes of its text.

    Args:
        rows: The rows.
        form: The name of the form that they had in their file.
        tokenizer: The tokenizer of the rows, which writes ids as texts.

    >>> EncodedRows([Row([5, 6], [6, 7], "b")])[0]["reference"]
    tensor([98], dtype=torch.uint8)
    """

    rows: Sequence[Row]
    form: str = ""
    tokenizer: "transformers.PreTrainedTokenizerBase | None" = None

    __repr__ = one_line

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int, /) -> Example:
        row = self.rows[index]
        example = {"input_ids": torch.tensor(row.inputs), "labels": torch.tensor(row.labels)}
        if row.reference is not None:
            example["reference"] = torch.tensor(list(row.reference.encode()), dtype=torch.uint8)
        return example


class Tokens:
    """A tokenizer, and how its ids become rows and batches.

    Args:
        tokenizer: The tokenizer; if it has no padding token, its end token is the padding, which has no label.
        max_length: Most tokens of prompt and answer together, or of source and target each.
        vocabulary: Number of rows of the model's embedding, which no token may exceed.

    Raises:
        DataError: The tokenizer has no end token.
    """

    def __init__(self, tokenizer: "transformers.PreTrainedTokenizerBase", max_length: int, vocabulary: int) -> None:
        end, padding = tokenizer.eos_token_id, tokenizer.pad_token_id
        if end is None:
            raise DataError(
                "the tokenizer has no end-of-sequence token; name one as 'eos_token' in its tokenizer_config.json"
            )
        self.tokenizer, self.end = tokenizer, int(end)
        self.padding = self.end if padding is None or padding >= vocabulary else int(padding)
        self._max_length, self._vocabulary = max_length, vocabulary
        self.fingerprint = text_digest(["tokens", max_length, self.end, self.padding, tokenizer_text(tokenizer)])

    def suited_to(self, task: TaskRequest, model: nn.Module, most: int) -> "Tokens":
        """Return these tokens, or for a task with a length of its own others that cut rows there.

        Args:
            task: The task's request.
            model: A transformers model.
            most: Most tokens written after a text.

        Raises:
            DataError: The model has too few positions for the task's length.
        """
        if task.max_length is None:
            return self
        check_positions(model, task.max_length, most, ("finetune", "tasks", task.name))
        return Tokens(self.tokenizer, task.max_length, self._vocabulary)

    def collate(self, examples: list[Example]) -> dict[str, Tensor]:
        """Collate a batch: ids padded on the right, their attention mask, and labels."""
        ids, labels = ([example[key] for example in examples] for key in ("input_ids", "labels"))
        pad = torch.nn.utils.rnn.pad_sequence
        return {
            "input_ids": pad(ids, batch_first=True, padding_value=self.padding),
            "attention_mask": pad([torch.ones_like(example) for example in ids], batch_first=True),
            "labels": pad_labels(labels),
        }

    def encode(self, segments: Sequence[Segment], *, whole: bool) -> tuple[list[int], list[bool]]:
        """Encode consecutive texts as ids, each with whether it is learned.

        When the model writes, it gets the ids before a segment alone. So these must not depend on what follows. If a
        token ends where a segment begins, the segment has the ids that it has in the whole text. Otherwise it is
        encoded on its own.

        Args:
            segments: Texts, each with whether the model is to learn it.
            whole: Whether to put the tokenizer's beginning token first, and an end token last.
        """
        ids: list[int] = []
        learned: list[bool] = []
        before = ""
        for text, counts in segments:
            more = self._after(before, ids, text, whole)
            ids += more
            learned += [counts] * len(more)
            before += text
        return ([*ids, self.end], [*learned, segments[-1][1]]) if whole else (ids, learned)

    def _after(self, before: str, ids: Sequence[int], text: str, whole: bool) -> list[int]:
        together = self._ids(before + text, special=whole)
        return together[len(ids) :] if together[: len(ids)] == ids else self._ids(text, special=False)

    def _ids(self, text: str, *, special: bool) -> list[int]:
        """Encode a text without the end token, which some tokenizers add themselves."""
        ids: list[int] = list(self.tokenizer(text, add_special_tokens=special)["input_ids"])
        return ids[:-1] if special and ids[-1:] == [self.end] else ids

    def causal_row(self, ids: Sequence[int], learned: Sequence[bool], reference: str | None) -> Row:
        """Make a row for a causal model, whose label at every place is the next token.

        Tokens after the last answer are left out. A row that is too long loses the leftmost tokens before the last
        answer, except a beginning token. If that is not enough, it loses the answer's rightmost ones.

        Args:
            ids: Ids of the whole row.
            learned: Whether the model is to learn each id.
            reference: The text of the last answer.

        Raises:
            DataError: Nothing is left to learn, or an id exceeds the model's vocabulary.
        """
        self._check(ids)
        answer = answer_of(learned)
        first = int(answer.start > 0 and ids[0] == self.tokenizer.bos_token_id)
        over = max(answer.stop - self._max_length, 0)
        place = first + min(over, answer.start - first)
        shortened = [*ids[:first], *ids[place : answer.stop]][: self._max_length]
        counts = [*learned[:first], *learned[place : answer.stop]][: self._max_length]
        if not any(counts[1:]):
            raise DataError("leaves nothing to learn")
        labels = hide_labels(shortened[1:], counts[1:])
        lost = sum(learned[: answer.stop]) - sum(counts)
        return Row(shortened[:-1], labels, reference, over > 0, answer.stop, lost=lost)

    def translation_row(self, source: str, target: str) -> Row:
        """Make a row for a sequence-to-sequence model; texts that are too long are cut before their end token.

        Raises:
            DataError: An id exceeds the model's vocabulary.
        """
        inputs, labels = (
            list(self.tokenizer(source)["input_ids"]),
            list(self.tokenizer(text_target=target)["input_ids"]),
        )
        labels += [self.end] if labels[-1:] != [self.end] else []
        cut, length, whole = False, max(len(inputs), len(labels)), len(labels)
        for ids in (inputs, labels):
            self._check(ids)
            if len(ids) > self._max_length:
                cut = True
                del ids[self._max_length - (ids[-1] == self.end) : len(ids) - (ids[-1] == self.end)]
        return Row(inputs, labels, target, cut, length, lost=whole - len(labels))

    def _check(self, ids: Sequence[int]) -> None:
        most = max(ids, default=0)
        if most >= self._vocabulary:
            raise DataError(
                f"has the token {most}, the model knows {self._vocabulary}; give the checkpoint its own tokenizer"
            )


def answer_of(learned: Sequence[bool]) -> slice:
    """Find the last run of ids that are learned; the slice is empty if there is none.

    >>> answer_of([False, True, False, True, True, False])
    slice(3, 5, None)
    """
    stop = next((place + 1 for place in reversed(range(len(learned))) if learned[place]), 0)
    return slice(next((place + 1 for place in reversed(range(stop)) if not learned[place]), 0), stop)
