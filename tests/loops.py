"""Tiny transformers models, data and a Trainer, as users' own loops have them; nothing is fetched."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from foretaste.loss.class_labels import IGNORED
from foretaste.metrics import METRICS
from foretaste.params import parameters_of, snapshot
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.site import GaussianSite
from foretaste.task import Batch, Examples, Task
from laws import assert_same, normal

__all__ = [
    "LENGTH",
    "WORDS",
    "Items",
    "State",
    "assert_sites_equal",
    "bert",
    "causal",
    "classified",
    "entries",
    "gpt2",
    "network",
    "no_labels",
    "pad",
    "pairs",
    "seeded",
    "seq2seq",
    "shifted",
    "t5",
    "task",
    "trainer",
]

WORDS, LENGTH = 12, 6
_SIZES = {
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": 16,
}
_STILL = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
Item = dict[str, Tensor]


class Items(torch.utils.data.Dataset[Item]):
    """A data set from a list."""

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = list(items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Item:
        return self.items[index]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def classified(count: int, seed: int = 1) -> Items:
    """Sentences whose first word tells the label."""
    words = torch.randint(3, WORDS, (count, LENGTH), generator=seeded(seed))
    mask = torch.ones(LENGTH, dtype=torch.long)
    return Items([{"input_ids": each, "attention_mask": mask, "labels": each[0] % 2} for each in words])


def causal(count: int, seed: int = 1) -> Items:
    """Sentences of two to six words, the first of which is a prompt that is not to be learned."""
    generator = seeded(seed)
    lengths = torch.randint(2, LENGTH + 1, (count,), generator=generator).tolist()
    words = [torch.randint(1, WORDS, (length,), generator=generator) for length in lengths]
    labels = [torch.cat([torch.tensor([IGNORED]), each[1:]]) for each in words]
    return Items([{"input_ids": each, "labels": own} for each, own in zip(words, labels, strict=True)])


def seq2seq(count: int, seed: int = 1) -> Items:
    """Sources and targets of other lengths."""
    generator = seeded(seed)
    draws = [(torch.randint(2, WORDS, (2 + n % 4,), generator=generator), n) for n in range(count)]
    return Items([{"input_ids": each, "labels": each[: 1 + n % 2].flip(0)} for each, n in draws])


def pad(items: list[Item]) -> dict[str, Tensor]:
    """A collator: padded on the right, labels with -100."""
    fill = nn.utils.rnn.pad_sequence
    ids = [each["input_ids"] for each in items]
    return {
        "input_ids": fill(ids, batch_first=True),
        "attention_mask": fill([torch.ones_like(each) for each in ids], batch_first=True),
        "labels": fill([each["labels"] for each in items], batch_first=True, padding_value=IGNORED),
    }


def bert(kind: str = "SequenceClassification", **changes: Any) -> nn.Module:  # noqa: ANN401 - settings of all types
    config = transformers.BertConfig(vocab_size=WORDS, initializer_range=0.3, **(_SIZES | _STILL | changes))
    return _made(getattr(transformers, f"BertFor{kind}"), config)


def gpt2(**changes: Any) -> nn.Module:  # noqa: ANN401 - settings of all types
    still = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    sizes = {"n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 16, "vocab_size": WORDS, "initializer_range": 0.3}
    config = transformers.GPT2Config(bos_token_id=0, eos_token_id=0, **(sizes | still | changes))
    return _made(transformers.GPT2LMHeadModel, config)


def t5() -> nn.Module:
    sizes = {"vocab_size": WORDS, "d_model": 8, "d_ff": 8, "d_kv": 4, "num_layers": 1, "num_heads": 2}
    return _made(
        transformers.T5ForConditionalGeneration,
        transformers.T5Config(dropout_rate=0.0, decoder_start_token_id=0, **sizes),
    )


def _made(kind: type, config: "transformers.PretrainedConfig") -> nn.Module:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = kind(config)
    assert isinstance(model, nn.Module)
    return model


def entries(site: GaussianSite) -> Mapping[str, Tensor]:
    assert isinstance(site.precision, Diagonal)
    return site.precision.entries


def assert_sites_equal(found: GaussianSite | None, expected: GaussianSite) -> None:
    """Bit for bit; the record's details may say more."""
    assert found is not None
    assert_same(found.precision.to_tensors(), expected.precision.to_tensors())
    assert_same(found.center, expected.center)
    assert_same(found.carried, expected.carried)
    assert expected.record.details.items() <= found.record.details.items()
    assert replace(found.record, details={}) == replace(expected.record, details={})


def pairs(count: int = 10) -> Any:  # noqa: ANN401 - a data set for torch, examples for a task
    return [(each, torch.tensor(place % 2)) for place, each in enumerate(normal(count, 3))]


def network() -> nn.Module:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))


def no_labels(model: nn.Module, batch: Batch) -> Tensor:
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    assert isinstance(logits, Tensor)
    return logits


def shifted(items: list[Any]) -> Batch:
    """By hand: the label of a place is the next place's word."""
    batch = pad(items)
    labels = torch.full_like(batch["labels"], IGNORED)
    for row, each in enumerate(batch["labels"].tolist()):
        for place, label in enumerate(each[1:]):
            labels[row, place] = label
    return {**batch, "labels": labels}


def task(examples: Examples, **parts: Any) -> Task:  # noqa: ANN401 - settings of all types
    return Task("hand", examples, examples, [METRICS["accuracy"]], **parts)


class State:
    """What a model is, to be the same afterwards."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._seen = self._look()

    def assert_same(self) -> None:
        params, *others = self._look()
        assert others == list(self._seen[1:])
        assert all(torch.equal(params[name], tensor) for name, tensor in self._seen[0].items())

    def _look(self) -> tuple[Any, ...]:
        model = self._model
        named = dict(model.named_parameters())
        hooks = [(len(module._forward_hooks), len(module._forward_pre_hooks)) for module in model.modules()]
        return (
            snapshot(parameters_of(model)),
            {name: parameter.requires_grad for name, parameter in named.items()},
            {name: parameter.grad is None for name, parameter in named.items()},
            [module.training for module in model.modules()],
            hooks,
            {key for key in vars(model) if not key.startswith("_is_")},
            vars(model).get("forward"),
            torch.get_rng_state().tolist(),
        )


def trainer(
    folder: Path,
    model: nn.Module,
    data: object,
    callbacks: Sequence[object],
    *,
    optimizer: torch.optim.Optimizer | None = None,
    collate: object = None,
    **changes: Any,  # noqa: ANN401 - settings of all types
) -> "transformers.Trainer":
    settings: dict[str, Any] = {
        "max_steps": 4,
        "per_device_train_batch_size": 4,
        "learning_rate": 0.01,
        "lr_scheduler_type": "constant",
        "report_to": "none",
        "use_cpu": True,
        "save_strategy": "no",
        "dataloader_pin_memory": False,
        "disable_tqdm": True,
        "logging_strategy": "no",
        "seed": 3,
    }
    return transformers.Trainer(
        model,
        transformers.TrainingArguments(str(folder), **(settings | changes)),
        train_dataset=data,
        data_collator=collate,
        optimizers=(optimizer, None),
        callbacks=list(callbacks),
    )
