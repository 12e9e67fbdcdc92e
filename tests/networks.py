"""Small networks of every kind, their batches, and the curvature that a loop over examples gives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
    ViTConfig,
    ViTForImageClassification,
)

from foretaste.loss.class_labels import IGNORED, losses
from foretaste.loss.unit import count_units, unit_factors
from foretaste.metrics import METRICS
from foretaste.params import Params, in_eval_mode
from foretaste.task import Batch, Example, Predict, Task, Unit, predict_inputs
from laws import normal, random

COUNT = 5
LENGTH = 6


@dataclass(frozen=True)
class Net:
    """A model with a batch for it."""

    model: nn.Module
    batch: Batch
    predict: Predict = predict_inputs

    def task(self, unit: Unit = "example") -> Task:
        rows = Tensors(self.batch)
        return Task("t", rows, rows, [METRICS["accuracy"]], predict=self.predict, unit=unit)


@dataclass(frozen=True)
class Tensors:
    columns: Batch

    def __len__(self) -> int:
        return len(self.columns["labels"])

    def __getitem__(self, index: int, /) -> Example:
        return {name: tensor[index] for name, tensor in self.columns.items()}


def hf_logits(model: nn.Module, batch: Batch) -> Tensor:
    logits: Tensor = model(**{name: tensor for name, tensor in batch.items() if name != "labels"}).logits
    return logits


def classes(count: int = COUNT, seed: int = 0) -> Tensor:
    return torch.randint(0, 3, (count,), generator=random(seed))


def _labelled(model: nn.Module, inputs: Tensor) -> Net:
    return Net(model, {"inputs": inputs, "labels": classes(len(inputs))})


def _tokens() -> dict[str, Tensor]:
    """Sequences of several lengths; prompts and padding have no label."""
    ids = torch.randint(1, 20, (COUNT, LENGTH), generator=random(1))
    mask = torch.ones_like(ids)
    mask[0, 4:] = 0
    labels = torch.where(mask == 1, ids, IGNORED)
    labels[:, :2] = IGNORED
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def _of_sequences(model: nn.Module) -> Net:
    return Net(model, _tokens(), hf_logits)


def bert() -> Net:
    config = BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, num_labels=3
    )
    return Net(BertForSequenceClassification(config), _tokens() | {"labels": classes()}, hf_logits)


def llama(tied: bool) -> Net:
    sizes = {
        "vocab_size": 20,
        "hidden_size": 8,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    return _of_sequences(LlamaForCausalLM(LlamaConfig(**sizes, num_key_value_heads=1, tie_word_embeddings=tied)))


def gpt2() -> Net:
    return _of_sequences(
        GPT2LMHeadModel(
            GPT2Config(vocab_size=20, n_embd=8, n_layer=2, n_head=2, n_positions=8, bos_token_id=0, eos_token_id=0)
        )
    )


def t5() -> Net:
    config = T5Config(vocab_size=20, d_model=8, num_layers=2, num_heads=2, d_ff=16, d_kv=4, decoder_start_token_id=0)
    tokens = _tokens()
    return Net(
        T5ForConditionalGeneration(config), {**tokens, "decoder_input_ids": tokens["input_ids"].flip(1)}, hf_logits
    )


def vit() -> Net:
    config = ViTConfig(
        image_size=8,
        patch_size=4,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        num_labels=3,
    )
    return Net(
        ViTForImageClassification(config), {"pixel_values": normal(COUNT, 3, 8, 8), "labels": classes()}, hf_logits
    )


class Bare(nn.Module):
    """A parameter of no layer, and one that is used outside its layer too."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4))
        self.inner = nn.Linear(4, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.head(self.inner(inputs * self.scale) + inputs @ self.inner.weight)
        return logits


class Twice(nn.Module):
    """One layer called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(torch.tanh(self.body(inputs))))
        return logits


class TiedNet(nn.Module):
    """An embedding that is the head, with padding and repeated tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 4, padding_idx=0)
        self.body = nn.Linear(4, 4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids: Tensor) -> Tensor:
        logits: Tensor = self.head(torch.tanh(self.body(self.embed(ids))))
        return logits


class Routed(nn.Module):
    """An expert that only large inputs reach, or that all reach and few use: the first two rows do not."""

    def __init__(self, late: bool) -> None:
        super().__init__()
        self.late = late
        self.body = nn.Linear(4, 3)
        self.expert = nn.Linear(4, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        out: Tensor = self.body(inputs)
        chosen = inputs[:, 0] > 5
        if self.late:
            added = self.expert(inputs)[chosen]
        elif chosen.any():
            added = self.expert(inputs[chosen])
        return out.index_add(0, chosen.nonzero().flatten(), added) if chosen.any() else out


class Idle(nn.Module):
    """A layer whose output goes nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.aside = nn.Linear(4, 2)
        self.head = nn.Linear(4, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        self.aside(inputs)
        logits: Tensor = self.head(inputs)
        return logits


class Windows(nn.Module):
    """A layer that sees windows folded into the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 4)
        self.head = nn.Linear(12, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.head(torch.tanh(self.body(inputs.flatten(0, 1))).reshape(len(inputs), -1))
        return logits


class PositionsOnce(nn.Module):
    """A position embedding that is called on one row for the whole batch."""

    def __init__(self) -> None:
        super().__init__()
        self.positions = nn.Embedding(3, 4)
        self.head = nn.Linear(12, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.head((inputs + self.positions(torch.arange(3).unsqueeze(0))).flatten(1))
        return logits


class Swapped(nn.Module):
    """A normalisation by another name than its formula."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = MeanRMSNorm()
        self.head = nn.Linear(4, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.head(self.norm(inputs))
        return logits


class MeanRMSNorm(nn.Module):
    """Named like a root-mean-square norm, but it is none."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.weight * (inputs - inputs.mean(-1, keepdim=True))


def _cnn() -> nn.Module:
    layers = (
        nn.Conv2d(2, 4, 3, padding=1, stride=2),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Conv2d(4, 4, (3, 1), groups=2, padding="same"),
        nn.ReLU(inplace=True),
        nn.Conv2d(4, 4, 3, groups=4, dilation=2, padding=2),
        nn.Flatten(),
        nn.Linear(4 * 16, 3),
    )
    return _with_statistics(nn.Sequential(*layers))


def _with_statistics(model: nn.Module) -> nn.Module:
    for index, module in enumerate(model.modules()):
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.copy_(normal(*module.running_mean.shape, seed=index))
            module.running_var.copy_(normal(*module.running_var.shape, seed=index).exp())
    return model


def _inplace() -> Net:
    """The first two examples pass the rectifier whole; in the others it cuts."""
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(inplace=True), nn.Linear(6, 3))
    first = model.get_parameter("0.bias")
    first.data.fill_(10.0)
    inputs = normal(COUNT, 4)
    inputs[2:] *= 30
    return _labelled(model, inputs)


def _routed(late: bool) -> Net:
    inputs = normal(COUNT, 4)
    inputs[3:, 0] = 9.0
    return _labelled(Routed(late), inputs)


def _tied() -> Net:
    ids = torch.randint(0, 7, (COUNT, LENGTH), generator=random(2))
    labels = ids.roll(-1, 1)
    labels[:, -1] = IGNORED
    labels[1, 2:] = IGNORED
    return Net(TiedNet(), {"inputs": ids, "labels": labels})


NETS: dict[str, Callable[[], Net]] = {
    "mlp": lambda: _labelled(nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)), normal(COUNT, 4)),
    "linear over positions": lambda: _labelled(
        nn.Sequential(nn.Linear(4, 2), nn.Flatten(), nn.Linear(6, 3)), normal(COUNT, 3, 4)
    ),
    "conv1d": lambda: _labelled(
        nn.Sequential(nn.Conv1d(2, 4, 3, stride=2, padding=1), nn.GELU(), nn.Flatten(), nn.Linear(16, 3)),
        normal(COUNT, 2, 8),
    ),
    "cnn": lambda: _labelled(_cnn(), normal(COUNT, 2, 8, 8)),
    "circular padding": lambda: _labelled(
        nn.Sequential(nn.Conv1d(2, 2, 3, padding=1, padding_mode="circular"), nn.Flatten(), nn.Linear(8, 3)),
        normal(COUNT, 2, 4),
    ),
    "batch norm": lambda: _labelled(
        _with_statistics(nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))),
        normal(COUNT, 4),
    ),
    "embedding": lambda: _labelled(
        nn.Sequential(nn.Embedding(7, 4, padding_idx=0), nn.Flatten(), nn.Linear(4 * LENGTH, 3)),
        torch.randint(0, 7, (COUNT, LENGTH), generator=random(3)),
    ),
    "norms": lambda: _labelled(
        nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 4), nn.RMSNorm(4), nn.Linear(4, 3)), normal(COUNT, 4)
    ),
    "in place": _inplace,
    "bare parameter": lambda: _labelled(Bare(), normal(COUNT, 4)),
    "called twice": lambda: _labelled(Twice(), normal(COUNT, 4)),
    "tied": _tied,
    "routed": lambda: _routed(late=False),
    "gated": lambda: _routed(late=True),
    "idle layer": lambda: _labelled(Idle(), normal(COUNT, 4)),
    "windows": lambda: _labelled(Windows(), normal(COUNT, 3, 4)),
    "positions once": lambda: _labelled(PositionsOnce(), normal(COUNT, 3, 4)),
    "another norm": lambda: _labelled(Swapped(), normal(COUNT, 4)),
    "attention": lambda: _labelled(
        nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Flatten(), nn.Linear(24, 3)),
        normal(COUNT, 3, 8),
    ),
    "bert": bert,
    "llama": lambda: llama(tied=False),
    "llama tied": lambda: llama(tied=True),
    "gpt2": gpt2,
    "t5": t5,
    "vit": vit,
}
SEQUENCES = ["tied", "llama", "llama tied", "gpt2", "t5"]


@cache
def _built(name: str) -> Net:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return NETS[name]()


def net(name: str) -> Net:
    """The network with fixed weights, in training mode as a model comes out of training.

    Shared, to be left as it is.
    """
    found = _built(name)
    found.model.train()
    return found


def gradients(model: nn.Module, task: Task, batch: Batch, index: int, labels: Tensor) -> dict[str, Tensor]:
    """Of one example's summed losses, by autograd on a batch of one."""
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    logits = task.predict(model, {key: tensor[index : index + 1] for key, tensor in batch.items()})
    found = torch.autograd.grad(
        losses(logits, labels[index : index + 1]).sum(), list(named.values()), allow_unused=True
    )
    return {n: torch.zeros_like(p) if g is None else g for (n, p), g in zip(named.items(), found, strict=True)}


def empirical(model: nn.Module, task: Task, batch: Batch) -> dict[str, Tensor]:
    """Summed squared gradients of the examples, each divided by the root of its label tokens, per unit."""
    labels = batch["labels"]
    total = {name: torch.zeros_like(p, dtype=torch.float64) for name, p in model.named_parameters()}
    with in_eval_mode(model):
        for index, factor in enumerate(unit_factors(labels != IGNORED, task.unit).tolist()):
            for name, gradient in gradients(model, task, batch, index, labels).items():
                total[name] += factor * gradient.double().square()
    return {name: tensor / count_units(labels != IGNORED, task.unit) for name, tensor in total.items()}


def gauss_newton(model: nn.Module, task: Task, batch: Batch) -> dict[str, Tensor]:
    """Diagonal of ``1/N sum J' (diag(p) - p p') J``, from the logits' explicit jacobian."""
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    total = {name: torch.zeros_like(p, dtype=torch.float64) for name, p in named.items()}
    labels = batch["labels"].reshape(len(batch["labels"]), -1)
    factors = unit_factors(batch["labels"] != IGNORED, task.unit).tolist()
    with in_eval_mode(model):
        logits = task.predict(model, batch).reshape(*labels.shape, -1)
        for row, column in (labels != IGNORED).nonzero().tolist():
            chances = logits[row, column].detach().double().softmax(0)
            rows = [
                torch.autograd.grad(one, list(named.values()), retain_graph=True, allow_unused=True)
                for one in logits[row, column]
            ]
            middle = torch.diag(chances) - torch.outer(chances, chances)
            for place, (name, parameter) in enumerate(named.items()):
                jacobian = torch.stack(
                    [torch.zeros_like(parameter) if each[place] is None else each[place] for each in rows]
                ).double()
                total[name] += factors[row] * torch.einsum("c...,cd,d...->...", jacobian, middle, jacobian)
    return {name: tensor / count_units(batch["labels"] != IGNORED, task.unit) for name, tensor in total.items()}


def assert_curvature_close(found: Params, truth: Mapping[str, Tensor], tolerance: float = 1e-5) -> None:
    """Relative to each tensor's norm; where the truth is rounding noise, to a floor below the largest."""
    assert set(found) == set(truth)
    floor = 1e-10 * max(float(tensor.norm()) for tensor in truth.values())
    for name, tensor in truth.items():
        assert found[name].shape == tensor.shape, name
        gap = float((found[name].double() - tensor).norm())
        assert gap <= tolerance * float(tensor.norm()) + floor, (name, gap, float(tensor.norm()))
