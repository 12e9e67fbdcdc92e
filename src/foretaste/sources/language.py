"""Transformers language models: causal ones, which continue a prompt or chat, and sequence-to-sequence ones."""

import datetime
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from foretaste.errors import DataError
from foretaste.metric_kinds import ModelMetric, TextMetric
from foretaste.params import in_eval_mode
from foretaste.sources.architecture import architecture_of, configuration
from foretaste.sources.chat import chat_template, reads_tools
from foretaste.sources.chat_dates import pin_date
from foretaste.sources.checkpoint import check_checkpoint
from foretaste.sources.data import rows_digest
from foretaste.sources.extra import transformers
from foretaste.sources.kind import ModelKind
from foretaste.sources.kinds import kind_named
from foretaste.sources.language_data import LanguageData, data_warnings, read_data
from foretaste.sources.language_metrics import harness_for, metrics_of
from foretaste.sources.language_rows import encode_rows
from foretaste.sources.language_view import LanguageRows
from foretaste.sources.pretrained import (
    at,
    check_positions,
    pretrained,
    quiet,
    saver,
    tokenizer_at,
)
from foretaste.sources.problem import Problem, text_digest
from foretaste.sources.reading import reader
from foretaste.sources.request import FLOAT32, Format, HarnessOptions, ModelRequest, TaskRequest
from foretaste.sources.tokens import Tokens
from foretaste.sources.writing import Writer
from foretaste.task import Batch, Example, Task, Unit

if TYPE_CHECKING:
    from foretaste.sources import harness

__all__ = [
    "load",
    "load_kind",
    "predict_next_tokens",
    "predict_target_tokens",
    "prepare_tokens",
]

_MOST = 64


def load_kind(kind: ModelKind, model: ModelRequest, tasks: Sequence[TaskRequest]) -> Problem:
    """Load a language model of a kind in the table of kinds; see `load`."""
    unit = model.unit or kind.units[0]
    return load(
        model.path,
        kind.name,
        tasks,
        unit=unit,
        max_length=model.max_length,
        most=model.max_new_tokens,
        options=model.harness,
        form=model.form,
        date=model.date,
    )


def load(
    path: str,
    kind: str,
    plans: Sequence[TaskRequest],
    *,
    unit: Unit = "token",
    max_length: int = 128,
    most: int | None = None,
    options: HarnessOptions | None = None,
    form: Format = FLOAT32,
    date: datetime.date | None = None,
) -> Problem:
    """Load a pretrained language model and its tasks from data.

    Args:
        path: Checkpoint folder or hub id.
        kind: Name of the kind of model.
        plans: The tasks.
        unit: Unit that losses are means over: label tokens or examples.
        max_length: Most tokens of prompt and completion together, or of source and target each.
        most: Most tokens written for metrics of texts; 64 if left out.
        options: Options of lm-evaluation-harness.
        form: The form of the checkpoint's params.
        date: The day that chats are of where their template writes one; see `pin_date`.

    Raises:
        DataError: Something cannot be read or does not fit; the field is named.

    >>> from foretaste.sources.language_metrics import metrics_named
    >>> plan = TaskRequest("news", "no/train.jsonl", "no/test.jsonl", metrics_named(["perplexity"]))
    >>> load("no-checkpoint", "causal-lm", [plan])
    Traceback (most recent call last):
    ...
    foretaste.errors.DataError: no/train.jsonl does not exist; relative paths start at the recipe's folder
    """
    with quiet():
        data = read_data(kind, plans)
        if Path(path).is_dir():
            at(("model", "path"), check_checkpoint, Path(path))
        model = at(("model", "path"), pretrained, path, kind, form=form).eval()
        tokens = at(("model", "path"), kind_named(kind).new_preparation, path, max_length, model)
        assert isinstance(tokens, Tokens)
        day = at(("model", "date"), pin_date, tokens.tokenizer, date)
        writing = any(isinstance(metric, TextMetric) for plan in plans for metric in plan.metrics)
        check_positions(model, max_length, (most or _MOST) if writing else 0)
        own_tokens = [tokens.suited_to(plan, model, (most or _MOST) if writing else 0) for plan in plans]
        judge = harness_for(plans, kind, tokens, options)
        tasks_and_cuts = [
            _task(plan, data[plan.name], kind, model, writer, tokens.collate, unit, judge)
            for plan, writer in zip(plans, [Writer(own, most or _MOST) for own in own_tokens], strict=True)
        ]
    facts = (("architecture", architecture_of(model, model)), ("model", path))
    cut = "; ".join(note for _, note in tasks_and_cuts if note)
    all_facts = (*facts, ("cut to max_length", cut)) if cut else facts
    if judge is not None:
        all_facts = (*all_facts, ("lm-evaluation-harness", judge.fact))
    warnings = data_warnings(plans, data, [task for task, _ in tasks_and_cuts], max_length)
    warning_facts = (("warning", "; ".join(warnings)),) if warnings else ()
    dates = {} if day is None else {name: day for name, task in data.items() if "messages" in task.columns}
    if dates:
        all_facts = (*all_facts, ("date in chats", str(day)))
    return Problem(
        model,
        tuple(task for task, _ in tasks_and_cuts),
        (*all_facts, *warning_facts),
        saver(path),
        reader(path, kind),
        rows={name: task.raw for name, task in data.items()},
        warnings=warnings,
        view=LanguageRows(_translates(model), dates),
    )


def prepare_tokens(path: str, max_length: int, model: nn.Module) -> Tokens:
    """Make the preparation of texts, after a check that a decoder reads no later token.

    Raises:
        DataError: There is no tokenizer, or a decoder reads the token that it should predict.
    """
    assert isinstance(model, transformers.PreTrainedModel)
    tokens = Tokens(tokenizer_at(path), max_length, model.get_input_embeddings().num_embeddings)
    if not _translates(model):
        _check_causal(path, model)
    return tokens


def _translates(model: nn.Module) -> bool:
    assert isinstance(model, transformers.PreTrainedModel)
    return bool(model.config.is_encoder_decoder)


def _check_causal(path: str, model: nn.Module) -> None:
    """Check that another last token leaves the logits before it as they are."""
    with in_eval_mode(model), torch.no_grad():
        one, other = model(input_ids=torch.tensor([[0, 1, 0], [0, 1, 1]]), use_cache=False).logits[:, :2]
    close = 4 * torch.finfo(one.dtype).eps
    if not torch.allclose(one, other, rtol=max(1e-3, close), atol=max(1e-4, close)):
        raise DataError(
            f"{path!r} is not a causal language model: its predictions depend on later tokens; "
            "name a decoder, or set is_decoder in its config.json"
        )


def _task(
    plan: TaskRequest,
    data: LanguageData,
    kind: str,
    model: nn.Module,
    writer: Writer,
    collate: Callable[[list[Example]], Batch],
    unit: Unit,
    judge: "harness.Harness | None",
) -> tuple[Task, str]:
    """Make a task, and a note on how many of its rows were cut."""
    columns, field = data.columns, ("tasks", plan.name, "train")
    template = at(field, chat_template, writer.tokens.tokenizer) if "messages" in columns else None
    texts_only = "text" in columns
    of_texts = next((metric.name for metric in plan.metrics if isinstance(metric, TextMetric)), None)
    if of_texts is not None and texts_only:
        raise DataError(
            f"{of_texts} needs a prompt to write from, and the rows are whole texts; give prompt and completion"
        ).at("tasks", plan.name, "metrics")
    train, validation = (
        at(("tasks", plan.name, part), encode_rows, rows.rows, columns, where, writer.tokens, rows.form)
        for (part, where, *_), rows in zip(plan.parts, data.parts, strict=True)
    )
    parts = _inputs_of(plan, data, template, writer, unit)
    parts.append(configuration(model))
    if any(row.masked for part in (train, validation) for row in part.rows):
        parts.append("answers of weight 0 are masked")
    if data.train.joined:
        parts.append(data.train.joined)
    metrics = tuple(metrics_of(plan, judge))
    judged = [metric.name for metric in metrics if isinstance(metric, ModelMetric)]
    if judge is not None and judged:
        parts.append(judge.fingerprint(judged))
    task = Task(
        plan.name,
        train,
        validation,
        metrics,
        predict=kind_named(kind).predictor(),
        collate=collate,
        unit=unit,
        fingerprint=text_digest(parts),
        write=None if texts_only else writer,
        judge=judge,
        loss=kind_named(kind).new_loss(),
        width=_width_of(model),
    )
    cut, count = sum(row.cut for part in (train, validation) for row in part.rows), len(train) + len(validation)
    return task, f"{plan.name}: {cut} of {count} rows" if cut else ""


def _inputs_of(plan: TaskRequest, data: LanguageData, template: str | None, writer: Writer, unit: Unit) -> list[object]:
    """List what a task's examples are made of, for its fingerprint."""
    digests = [
        at(("tasks", plan.name, part), rows_digest, where, rows.rows, quoted=plan.quoted)
        for (part, where, *_), rows in zip(plan.parts, data.parts, strict=True)
    ]
    unread = set() if template is None or reads_tools(template) else {"tools"}
    columns = {role: name for role, name in data.columns.items() if role not in unread}
    return [digests, columns, template, writer.tokens.fingerprint, writer.most, unit]


def _width_of(model: nn.Module) -> int:
    """Return the number of tokens that a model chooses from."""
    assert isinstance(model, transformers.PreTrainedModel)
    head = model.get_output_embeddings()
    return len(head.weight) if isinstance(head, nn.Linear) else int(model.config.get_text_config().vocab_size)


def predict_next_tokens(model: nn.Module, batch: Batch) -> Tensor:
    """Return logits `[B, S, C]` of the token after each place."""
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False).logits
    assert isinstance(logits, Tensor)
    return logits


def predict_target_tokens(model: nn.Module, batch: Batch) -> Tensor:
    """Return logits `[B, S, C]` of the labels, each given those before it.

    The model derives its decoder's inputs from the labels.
    """
    logits = model(**batch, use_cache=False).logits
    assert isinstance(logits, Tensor)
    return logits
