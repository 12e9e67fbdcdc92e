"""What to know about another trainer's configuration: why it is as it is, and where it differs from the joint run."""

from foretaste.export.settings import READABLE, Settings, Trainer, WrittenMixture, batch_sizes

__all__ = ["notes"]


def notes(trainer: Trainer, mixed: WrittenMixture, settings: Settings) -> tuple[str, ...]:
    """Notes on a trainer's configuration: why it is as it is, and where it differs from foretaste's joint run.

    >>> from pathlib import Path
    >>> from foretaste.train.training import Training
    >>> mixed = WrittenMixture(
    ...     Path("/m/train.jsonl"), "token", ("text",), ("task", "text"), {"a": 8, "b": 2}, {"a": 40, "b": 40}
    ... )
    >>> notes("trl", mixed, Settings("gpt2", Training(steps=5)))[0]
    'Reads train.jsonl: TRL itself concatenates data sets, without weights, so that the share of each would be its
    size.'
    """
    training = settings.training
    rows = " x ".join(map(str, batch_sizes(training)))
    order = {
        "trl": (
            "The order is kept by transformers from version 5 on; before, rows are shuffled, which keeps the shares of"
            " the epoch."
        ),
        "axolotl": (
            "The order is kept (curriculum_sampling). Do not turn on dataset_exact_deduplication: it would undo"
            " repeats."
        ),
        "llama-factory": "The order is kept (disable_shuffling).",
        "nemo-automodel": "The order is kept on one device (shuffle: false); several devices share each step's rows.",
    }[trainer]
    devices = (
        f"A step has {rows} rows on one device; on n devices divide gradient_accumulation_steps by n."
        if trainer != "nemo-automodel"
        else f"A step has {rows} rows on one device; on n devices local_batch_size times n must divide"
        " global_batch_size."
    )
    lines = [
        _why(trainer, mixed),
        order,
        f"Losses are means over the label tokens of a step{_since(trainer)}, as alpha needs them.",
        devices,
        (
            f"Rows of more than {settings.max_length} tokens are cut here at the end; foretaste cuts the prompt's"
            " beginning first."
        ),
    ]
    if training.prior_precision:
        lines.append("The pull to the pretrained params (prior_precision) is left out: this trainer has none.")
    if training.optimizer != "adamw":
        lines.append(f"foretaste's joint run uses {training.optimizer}; this is AdamW: choose its learning rate again.")
    if training.warmup:
        lines.append("Warm-up begins at 0 here and with one step's share in foretaste: its rates come one step later.")
    if training.weight_decay and trainer != "nemo-automodel":
        lines.append("Weight decay leaves out biases and norms here; foretaste's does not.")
    return (*lines, *_of_format(trainer, mixed))


def _since(trainer: Trainer) -> str:
    return "" if trainer == "nemo-automodel" else " (transformers 4.46 and later)"


def _why(trainer: Trainer, mixed: WrittenMixture) -> str:
    name, readable = mixed.data.name, ", ".join(READABLE)
    if trainer == "trl":
        return (
            f"Reads {name}: TRL itself concatenates data sets, without weights, so that the share of each would be its"
            " size."
        )
    if trainer == "axolotl":
        return (
            f"Reads {name}: axolotl's 'weight' is the part of a data set to keep, not its share, and repeats nothing."
        )
    if trainer == "nemo-automodel":
        return f"Reads {name}: the files of a data set are concatenated, so that the share of each would be its size."
    why = (
        f"Reads {name}: interleave_probs hold on average only, and the number of rows depends on the sizes of the data"
        " sets."
    )
    if not mixed.sources:
        return f"{why} Reading the sources by num_samples needs each task's rows to be all rows of one {readable} file."
    return f"{why} llama-factory-sources.yaml reads the sources themselves, with the same exact counts (num_samples)."


def _of_format(trainer: Trainer, mixed: WrittenMixture) -> list[str]:
    if trainer == "trl" and mixed.roles == ("messages",):
        return [
            "assistant_only_loss needs a chat template that marks answers with {% generation %}, or a model whose"
            " template TRL knows."
        ]
    if trainer == "nemo-automodel":
        return _of_nemo_automodel(mixed)
    if trainer != "llama-factory" or mixed.roles == ("text",):
        return []
    if mixed.roles == ("messages",):
        return [
            "Chats must alternate between user and assistant. Name your model's template if reading it from the"
            " tokenizer fails."
        ]
    shares = {task: mixed.tokens[task] - count for task, count in mixed.counts.items()}
    realised = ", ".join(f"{task}={share / max(sum(shares.values()), 1):.3f}" for task, share in shares.items())
    return [
        "The template 'empty' takes texts as they are and writes no end token, which foretaste trains on: one label"
        f" token less in a row, so the shares of tokens become {realised}. Name another template if its prompts are"
        " those you want."
    ]


def _of_nemo_automodel(mixed: WrittenMixture) -> list[str]:
    lines = [
        "Params are float32 and FSDP2 computes in bfloat16, whatever the recipe's mixed_precision is; see mp_policy.",
        "This file follows the documentation of NeMo AutoModel 0.7 (26.10) and was not run by foretaste's tests.",
    ]
    if mixed.roles == ("messages",):
        return [*lines, "Only answers are learned if the chat template marks them with {% generation %}, else all."]
    return [*lines, "A space is put between prompt and completion."]
