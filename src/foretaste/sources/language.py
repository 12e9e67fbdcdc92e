"""Transformers language models: causal ones that go on from a prompt or chat, and sequence-to-sequence ones."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from foretaste.errors import DataError
from foretaste.lazy import lazy
from foretaste.metric_kinds import AnyMetric, ModelMetric, TextMetric
from foretaste.metrics import SEQUENCE_METRICS
from foretaste.params import in_eval_mode, parameters_of
from foretaste.sources.chat import chat_template
from foretaste.sources.checkpoint import check_checkpoint
from foretaste.sources.data import Part, RawRows, read_rows, rows_digest
from foretaste.sources.extra import datasets, transformers
from foretaste.sources.formats import shared_columns, standard_rows
from foretaste.sources.kind import ModelKind
from foretaste.sources.kinds import kind_named, kinds, names_listed
from foretaste.sources.language_rows import code_rows
from foretaste.sources.pretrained import at, check_positions, configuration, pretrained, quiet, saver, tokenizer_at
from foretaste.sources.problem import Problem, text_digest
from foretaste.sources.reading import reader
from foretaste.sources.request import HarnessMetric, HarnessOptions, ModelRequest, TaskRequest
from foretaste.sources.row_warnings import Cut, TaskRows, cut_warning, file_warnings, overlap_warnings
from foretaste.sources.tokens import Coded, Tokens
from foretaste.sources.writing import Writer
from foretaste.task import Batch, Task, Unit

if TYPE_CHECKING:
    from foretaste.sources import harness, harness_tasks, texts
else:  # their extras may be missing
    harness, harness_tasks = lazy("foretaste.sources.harness"), lazy("foretaste.sources.harness_tasks")
    texts = lazy("foretaste.sources.texts")

__all__ = [
    "load",
    "load_kind",
    "metric_named",
    "metrics_named",
    "predict_next_tokens",
    "predict_target_tokens",
    "prepare_tokens",
]

_MOST = 64


def metrics_named(names: Sequence[str]) -> "tuple[AnyMetric | HarnessMetric, ...]":
    """Metrics of language models.

    Args:
        names: Of `SEQUENCE_METRICS`, ``bleu`` or ``chrf``; with a colon, of lm-evaluation-harness.

    Raises:
        MissingExtra: bleu or chrf, and sacrebleu is not installed; or one with a colon, and lm_eval is not.

    >>> [metric.higher_is_better for metric in metrics_named(["perplexity", "exact_match"])]
    [False, True]
    """
    return tuple(metric_named(name) for name in names)


def metric_named(name: str) -> "AnyMetric | HarnessMetric":
    """Return a metric of language models; see `metrics_named`."""
    if ":" in name:
        return harness_tasks.parse_metric(name)
    return SEQUENCE_METRICS[name] if name in SEQUENCE_METRICS else texts.TEXT_METRICS[name]


def load_kind(kind: ModelKind, model: ModelRequest, tasks: Sequence[TaskRequest]) -> Problem:
    """Load a language model as its row of the table of kinds says; see `load`."""
    unit = model.unit or kind.units[0]
    return load(
        model.path,
        kind.name,
        tasks,
        unit=unit,
        max_length=model.max_length,
        most=model.max_new_tokens,
        options=model.harness,
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
) -> Problem:
    """A pretrained language model and tasks from data.

    Args:
        path: Checkpoint folder or hub id.
        kind: Name of the kind of model.
        plans: The tasks.
        unit: What losses are means over: label tokens or examples.
        max_length: Most tokens of prompt and completion together, or of source and target each.
        most: At most so many tokens are written for metrics of texts; 64 if left out.
        options: How metrics of lm-evaluation-harness are measured.

    Raises:
        DataError: Anything that cannot be read or does not fit; the field is named.

    >>> plan = TaskRequest("news", "no/train.jsonl", "no/test.jsonl", metrics_named(["perplexity"]))
    >>> load("no-checkpoint", "causal-lm", [plan])
    Traceback (most recent call last):
    ...
    foretaste.errors.DataError: no/train.jsonl does not exist; relative paths start at the recipe's folder
    """
    with quiet():
        read = {plan.name: [_read(kind, plan, part) for part in plan.parts] for plan in plans}
        data = {name: [rows for rows, _ in parts] for name, parts in read.items()}
        columns = _columns(kind, plans, data)
        if Path(path).is_dir():
            at(("model", "path"), check_checkpoint, Path(path))
        model = at(("model", "path"), pretrained, path, kind).eval()
        tokens = at(("model", "path"), kind_named(kind).new_preparation, path, max_length, model)
        assert isinstance(tokens, Tokens)
        writing = any(isinstance(metric, TextMetric) for plan in plans for metric in plan.metrics)
        check_positions(model, max_length, (most or _MOST) if writing else 0)
        judge = _judge(plans, kind, tokens, options)
        tasks_and_cuts = [
            _task(plan, data[plan.name], columns[plan.name], kind, model, Writer(tokens, most or _MOST), unit, judge)
            for plan in plans
        ]
    raw = {
        plan.name: RawRows.of(
            data[plan.name], plan.train, plan.max_train, plan.single_columns, converted=read[plan.name][0][1]
        )
        for plan in plans
    }
    count = sum(tensor.numel() for tensor in parameters_of(model).values())
    facts = (("architecture", f"{type(model).__name__}, {count:,} parameters"), ("model", path))
    cut = "; ".join(note for _, note in tasks_and_cuts if note)
    all_facts = (*facts, ("cut to max_length", cut)) if cut else facts
    if judge is not None:
        all_facts = (*all_facts, ("lm-evaluation-harness", judge.fact))
    warnings = _warnings(plans, raw, columns, [task for task, _ in tasks_and_cuts], max_length)
    if warnings:
        all_facts = (*all_facts, ("warning", "; ".join(warnings)))
    return Problem(
        model,
        tuple(task for task, _ in tasks_and_cuts),
        all_facts,
        saver(path),
        reader(path, kind),
        rows=raw,
        warnings=warnings,
    )


def _warnings(
    plans: Sequence[TaskRequest],
    raw: Mapping[str, RawRows],
    columns: Mapping[str, Mapping[str, str]],
    tasks: Sequence[Task],
    max_length: int,
) -> tuple[str, ...]:
    """What makes results worth less than they seem, a line each."""
    fed = {name: TaskRows(rows.train, rows.validation, list(columns[name].values())) for name, rows in raw.items()}
    warnings = list(overlap_warnings(fed))
    for plan, task in zip(plans, tasks, strict=True):
        rows = raw[plan.name]
        for (part, where, _, most), given, examples in zip(
            plan.parts, (rows.train, rows.validation), (task.train, task.validation), strict=True
        ):
            assert isinstance(examples, Coded)
            cut = Cut(
                sum(row.cut for row in examples.rows), len(examples.rows), max(row.length for row in examples.rows)
            )
            warnings += cut_warning(plan.name, "training" if part == "train" else part, cut, max_length)
            warnings += file_warnings(where, given, most, quoted=plan.quoted)
    return tuple(warnings)


def _read(kind: str, plan: TaskRequest, part: tuple[str, str, str, int | None]) -> tuple["datasets.Dataset", bool]:
    """The rows of one file of a task, in a form that this kind of model reads, and whether they had another."""
    field, (_, where, split, most) = ("tasks", plan.name, part[0]), part
    rows = at(field, read_rows, where, split, most, quoted=plan.quoted)
    standard = at(field, standard_rows, kind, rows, plan.single_columns, where)
    return standard, standard is not rows


def _columns(
    kind: str, plans: Sequence[TaskRequest], data: Mapping[str, Sequence["datasets.Dataset"]]
) -> dict[str, dict[str, str]]:
    """Which columns every task reads, from both of its files; all that lack some are named at once."""
    parts = {
        plan.name: [
            Part(("tasks", plan.name, part), where, rows)
            for (part, where, *_), rows in zip(plan.parts, data[plan.name], strict=True)
        ]
        for plan in plans
    }
    return shared_columns(kind, {plan.name: plan.single_columns for plan in plans}, parts)


def prepare_tokens(path: str, max_length: int, model: nn.Module) -> Tokens:
    """Make what turns texts into tokens and batches, for a model that is known to look at no later token.

    Raises:
        DataError: There is no tokenizer, or a decoder sees the token that it should predict.
    """
    assert isinstance(model, transformers.PreTrainedModel)
    tokens = Tokens(tokenizer_at(path), max_length, model.get_input_embeddings().num_embeddings)
    if not model.config.is_encoder_decoder:
        _check_causal(path, model)
    return tokens


def _check_causal(path: str, model: nn.Module) -> None:
    """A model that sees the next token has nothing to predict: another last token must leave what was said before."""
    with in_eval_mode(model), torch.no_grad():
        one, other = model(input_ids=torch.tensor([[0, 1, 0], [0, 1, 1]]), use_cache=False).logits[:, :2]
    if not torch.allclose(one, other, rtol=1e-3, atol=1e-4):
        raise DataError(
            f"{path!r} is no causal language model: what it says at one place depends on the tokens after it; "
            "name a decoder, or set is_decoder in its config.json"
        )


def _judge(
    plans: Sequence[TaskRequest], kind: str, tokens: Tokens, options: HarnessOptions | None
) -> "harness.Harness | None":
    """The harness, where a task asks for a metric of it."""
    if all(isinstance(metric, AnyMetric) for plan in plans for metric in plan.metrics):
        return None
    if not kind_named(kind).harness:
        able = names_listed(row for row in kinds() if row.harness)
        raise DataError(f"metrics of lm-evaluation-harness are for {able} alone, not {kind}; remove them").at("tasks")
    return harness.Harness(tokens.tokenizer, tokens.padding, options or HarnessOptions())


def _metrics(plan: TaskRequest, judge: "harness.Harness | None") -> Iterator[AnyMetric]:
    """A task's metrics; those of the harness with the direction that it says."""
    for place, metric in enumerate(plan.metrics):
        if isinstance(metric, AnyMetric):
            yield metric
        elif judge is not None:
            yield at(("tasks", plan.name, "metrics", str(place)), judge.metric, metric)


def _task(
    plan: TaskRequest,
    data: Sequence["datasets.Dataset"],
    columns: Mapping[str, str],
    kind: str,
    model: nn.Module,
    writer: Writer,
    unit: Unit,
    judge: "harness.Harness | None",
) -> tuple[Task, str]:
    """A task, and how many of its rows were cut."""
    field = ("tasks", plan.name, "train")
    template = at(field, chat_template, writer.tokens.tokenizer) if "messages" in columns else None
    texts_only = "text" in columns
    of_texts = next((metric.name for metric in plan.metrics if isinstance(metric, TextMetric)), None)
    if of_texts is not None and texts_only:
        raise DataError(
            f"{of_texts} needs a prompt to write from, and the rows are whole texts; give prompt and completion"
        ).at("tasks", plan.name, "metrics")
    train, validation = (
        at(("tasks", plan.name, part), code_rows, rows, columns, where, writer.tokens)
        for (part, where, *_), rows in zip(plan.parts, data, strict=True)
    )
    digests = [
        at(("tasks", plan.name, part), rows_digest, where, rows, quoted=plan.quoted)
        for (part, where, *_), rows in zip(plan.parts, data, strict=True)
    ]
    parts = [digests, columns, template, writer.tokens.fingerprint, writer.most, unit, configuration(model)]
    if any(row.masked for part in (train, validation) for row in part.rows):
        parts.append("answers of weight 0 are masked")
    metrics = tuple(_metrics(plan, judge))
    judged = [metric.name for metric in metrics if isinstance(metric, ModelMetric)]
    if judge is not None and judged:
        parts.append(judge.fingerprint(judged))
    task = Task(
        plan.name,
        train,
        validation,
        metrics,
        predict=kind_named(kind).predictor(),
        collate=writer.tokens.collate,
        unit=unit,
        fingerprint=text_digest(parts),
        write=None if texts_only else writer,
        judge=judge,
        loss=kind_named(kind).new_loss(),
    )
    cut, count = sum(row.cut for part in (train, validation) for row in part.rows), len(train) + len(validation)
    return task, f"{plan.name}: {cut} of {count} rows" if cut else ""


def predict_next_tokens(model: nn.Module, batch: Batch) -> Tensor:
    """Return logits `[B, S, C]`: at every place, those of the next token."""
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False).logits
    assert isinstance(logits, Tensor)
    return logits


def predict_target_tokens(model: nn.Module, batch: Batch) -> Tensor:
    """Return logits `[B, S, C]` of the labels, each after those before it.

    The model makes them its decoder's inputs.
    """
    logits = model(**batch, use_cache=False).logits
    assert isinstance(logits, Tensor)
    return logits
