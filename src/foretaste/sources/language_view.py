"""Rows of language models to look at: texts after the chat template, as tokens, with what is learned marked."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import groupby

from foretaste.sources.extra import transformers
from foretaste.sources.row_lengths import lengths_of
from foretaste.sources.rows_view import RowsView, RowView, largest
from foretaste.sources.tokens import EncodedRows, Segment
from foretaste.task import Examples, Task

__all__ = ["LanguageRows", "learned_runs"]


class LanguageRows(RowsView):
    """Rows of `EncodedRows`, written as texts by their tokenizer.

    Args:
        translates: Whether the model reads a source and writes a target, in place of continuing a text.
        dates: The day that a task's chats are of, by task, where their template writes one.
    """

    def __init__(self, translates: bool, dates: Mapping[str, datetime.date] | None = None) -> None:
        self._translates, self._dates = translates, dates or {}

    def describe(self, task: Task) -> Mapping[str, object]:
        train, validation = _encoded(task.train), _encoded(task.validation)
        date = {"date": str(self._dates[task.name])} if task.name in self._dates else {}
        return {"form": train.form, "tokens": asdict(lengths_of([train, validation])), **date}

    def longest(self, task: Task, count: int) -> Sequence[int]:
        return largest([row.length for row in _encoded(task.train).rows], count)

    def row(self, task: Task, index: int) -> RowView:
        examples = _encoded(task.train)
        row, tokenizer = examples.rows[index], examples.tokenizer
        assert tokenizer is not None
        learned = sum(row.learned)
        if self._translates:
            text = [*learned_runs(tokenizer, row.inputs, [False] * len(row.inputs))]
            text += learned_runs(tokenizer, row.labels, [True] * len(row.labels))
            counts = {"tokens of the source": len(row.inputs), "learned tokens": learned}
        else:
            ids = [*row.inputs, row.labels[-1]]
            text = learned_runs(tokenizer, ids, [False, *row.learned])
            counts = {"tokens": len(ids), "learned tokens": learned}
        cut = {"tokens before it is cut": row.length, "learned tokens cut off": row.lost} if row.cut else {}
        return RowView(examples.form, text, {**counts, "cut to max_length": row.cut, **cut})


def _encoded(examples: Examples) -> EncodedRows:
    assert isinstance(examples, EncodedRows)
    return examples


def learned_runs(
    tokenizer: "transformers.PreTrainedTokenizerBase", ids: Sequence[int], learned: Sequence[bool]
) -> list[Segment]:
    """Write ids as texts, a text for each run of ids that are all learned, or all not.

    Together the texts are what the tokenizer makes of all ids, unless a character has tokens of two runs.

    Args:
        tokenizer: The tokenizer.
        ids: N ids.
        learned: Whether each is learned, N flags.
    """
    runs: list[Segment] = []
    before, done = "", 0
    for counts, run in groupby(learned):
        size = len(list(run))
        text = _written(tokenizer, ids[: done + size])
        own = text[len(before) :] if text.startswith(before) else _written(tokenizer, ids[done : done + size])
        runs.append((own, counts))
        before, done = text, done + size
    return runs


def _written(tokenizer: "transformers.PreTrainedTokenizerBase", ids: Sequence[int]) -> str:
    return str(tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))
