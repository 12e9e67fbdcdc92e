"""Tokens: rows of text become examples of token ids, with labels where the model is to learn.

A causal model's labels are shifted here: the label of a place is the next token, so that logits and labels
line up, ``labels[i]`` being what the model should say after ``input_ids[:i + 1]``. Both kinds of model get
sequences padded on the right, with an attention mask; padding has a label that does not count.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from foretaste.errors import DataError
from foretaste.loss.class_labels import hide_labels, pad_labels
from foretaste.one_line import one_line
from foretaste.sources.extra import transformers
from foretaste.sources.pretrained import tokenizer_text
from foretaste.sources.problem import text_digest
from foretaste.task import Example

__all__ = ["Coded", "Row", "Segment", "Tokens", "answer_of"]

Segment = tuple[str, bool]


@dataclass(frozen=True)
class Row:
    """One row as tokens.

    Args:
        inputs: What the model reads.
        labels: What it should say, or a label that does not count; as long as the inputs for a causal model.
        reference: The text that it should write, where there is something to write it after.
        cut: Whether something did not fit and was left out.
        length: Tokens before anything was left out; of source or target, whichever is longer.
        masked: Whether it has answers that are not to be learned.
    """

    inputs: Sequence[int]
    labels: Sequence[int]
    reference: str | None = None
    cut: bool = False
    length: int = field(default=0, compare=False)
    masked: bool = False

    __repr__ = one_line


@dataclass(frozen=True)
class Coded:
    """Rows as examples; a reference is the bytes of its text.

    >>> Coded([Row([5, 6], [6, 7], "b")])[0]["reference"]
    tensor([98], dtype=torch.uint8)
    """

    rows: Sequence[Row]

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
        tokenizer: Any; without a padding token of its own it pads with its end token, which no label sees.
        max_length: Most tokens of a row: of prompt and answer together, or of source and target each.
        vocabulary: Rows of the model's embedding; no token may be beyond.

    Raises:
        DataError: A tokenizer without an end token.
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

    def collate(self, examples: list[Example]) -> dict[str, Tensor]:
        """One batch: ids padded on the right, their attention mask, and labels."""
        ids, labels = ([example[key] for example in examples] for key in ("input_ids", "labels"))
        pad = torch.nn.utils.rnn.pad_sequence
        return {
            "input_ids": pad(ids, batch_first=True, padding_value=self.padding),
            "attention_mask": pad([torch.ones_like(example) for example in ids], batch_first=True),
            "labels": pad_labels(labels),
        }

    def spelled(self, segments: Sequence[Segment], *, whole: bool) -> tuple[list[int], list[bool]]:
        """The ids of texts in a row, and which of them are to be learned.

        The ids of what stands before a segment are what the model will be given when it writes on from there, so
        they never change with what follows: a segment has the ids that it has in the whole text where a token
        ends at its beginning, and else its own.

        Args:
            segments: Texts, and whether the model is to learn them.
            whole: Whether the tokenizer's beginning token comes first, and an end token last.
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
        """Without an end token, which some tokenizers add themselves."""
        ids: list[int] = list(self.tokenizer(text, add_special_tokens=special)["input_ids"])
        return ids[:-1] if special and ids[-1:] == [self.end] else ids

    def continued(self, ids: Sequence[int], learned: Sequence[bool], reference: str | None) -> Row:
        """A row for a causal model: what it should say next, at every place.

        What comes after the last answer is of no use and left out. A row that is too long loses tokens at the left
        of what stands before the last answer, save a beginning token, and only then at the answer's right.

        Args:
            ids: Of the whole row.
            learned: Which of them the model is to learn.
            reference: The text of the last answer.

        Raises:
            DataError: Nothing is left to learn, or an id that the model does not know.
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
        return Row(shortened[:-1], hide_labels(shortened[1:], counts[1:]), reference, over > 0, answer.stop)

    def translated(self, source: str, target: str) -> Row:
        """A row for a sequence-to-sequence model; what is too long is cut at the right, before its end token.

        Raises:
            DataError: An id that the model does not know.
        """
        inputs, labels = (
            list(self.tokenizer(source)["input_ids"]),
            list(self.tokenizer(text_target=target)["input_ids"]),
        )
        labels += [self.end] if labels[-1:] != [self.end] else []
        cut, length = False, max(len(inputs), len(labels))
        for ids in (inputs, labels):
            self._check(ids)
            if len(ids) > self._max_length:
                cut = True
                del ids[self._max_length - (ids[-1] == self.end) : len(ids) - (ids[-1] == self.end)]
        return Row(inputs, labels, target, cut, length)

    def _check(self, ids: Sequence[int]) -> None:
        most = max(ids, default=0)
        if most >= self._vocabulary:
            raise DataError(
                f"has the token {most}, the model knows {self._vocabulary}; give the checkpoint its own tokenizer"
            )


def answer_of(learned: Sequence[bool]) -> slice:
    """Where the last stretch of what is to be learned is; nowhere where nothing is.

    >>> answer_of([False, True, False, True, True, False])
    slice(3, 5, None)
    """
    stop = next((place + 1 for place in reversed(range(len(learned))) if learned[place]), 0)
    return slice(next((place + 1 for place in reversed(range(stop)) if not learned[place]), 0), stop)
