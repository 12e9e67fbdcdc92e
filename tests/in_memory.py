"""Models and tasks that a program has in memory, and keywords that make their studies small."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification, GPT2Config, GPT2LMHeadModel

import foretaste as ft

__all__ = ["SMALL", "causal_model", "classifier", "disagreeing_tasks", "network", "rows_of_tokens"]

SMALL: dict[str, Any] = {
    "finetune": {"steps": 8, "batch_size": 8, "learning_rate": 0.01},
    "curvature": {"max_examples": 8},
    "preview": {"points": 4, "methods": ["simple"]},
    "joint": {"points": 1},
}


def network() -> nn.Module:
    """A network of two layers, always the same."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))


def disagreeing_tasks(*names: str) -> list[ft.Task]:
    """Tasks that disagree about their second input, each with 40 examples for training and 40 for validation."""
    generator = torch.Generator().manual_seed(0)

    def task(name: str, slope: float) -> ft.Task:
        inputs = torch.randn(80, 2, generator=generator)
        labels = (inputs[:, 0] + slope * inputs[:, 1] > 0).long()
        train, valid = ft.Rows(inputs[:40], labels[:40]), ft.Rows(inputs[40:], labels[40:])
        return ft.Task(name, train, valid, loss=ft.CrossEntropy())

    slopes = torch.linspace(-1, 1, len(names)).tolist()
    return [task(name, slope) for name, slope in zip(names, slopes, strict=True)]


def classifier() -> BertForSequenceClassification:
    """A tiny text classifier of transformers, built from a configuration."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        size = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1}
        return BertForSequenceClassification(BertConfig(vocab_size=16, max_position_embeddings=8, **size)).eval()


def causal_model() -> GPT2LMHeadModel:
    """A tiny causal language model of transformers, built from a configuration."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        config = GPT2Config(vocab_size=16, n_positions=8, n_embd=8, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0)
        return GPT2LMHeadModel(config).eval()


def rows_of_tokens(seed: int, *, causal: bool = False, count: int = 12) -> list[dict[str, Tensor]]:
    """Tokenised rows: a label each, or for a causal model the tokens themselves."""
    tokens = torch.randint(1, 16, (count, 6), generator=torch.Generator().manual_seed(seed))
    labels = list(tokens) if causal else list((tokens[:, 0] > 7).long())
    ones = torch.ones(6, dtype=torch.long)
    return [
        {"input_ids": row, "attention_mask": ones, "labels": label} for row, label in zip(tokens, labels, strict=True)
    ]
