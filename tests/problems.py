"""Small real problems that several tests start from."""

from pathlib import Path

import torch
from torch import nn

from foretaste.metrics import METRICS
from foretaste.task import Rows, Task

__all__ = ["blobs", "digits_recipe", "linear"]


def blobs(name: str, seed: int, count: int = 40, classes: int = 3) -> Task:
    """Points around class centres; each seed has other centres."""
    generator = torch.Generator().manual_seed(seed)
    centers = 3 * torch.randn(classes, 4, generator=generator)
    labels = torch.arange(count) % classes
    points = centers[labels] + torch.randn(count, 4, generator=generator)
    half = count // 2
    return Task(
        name,
        Rows(points[:half], labels[:half]),
        Rows(points[half:], labels[half:]),
        [METRICS["accuracy"]],
        fingerprint=f"{name}{seed}",
    )


def linear(classes: int = 3, seed: int = 0) -> nn.Module:
    """A small network with dropout and batch norm, so that randomness and buffers count."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, classes))


def digits_recipe(folder: Path, *, snapshots: float = 20, **changes: str) -> Path:
    """A digits study small enough for a test.

    Args:
        folder: Where the recipe is written.
        snapshots: Seconds between two snapshots of training, for tests that wait for one: each costs more than a step.
        changes: ``part_field="value"`` changes a field.
    """
    parts = {
        "finetune": {"steps": "40", "learning_rate": "0.003", "prior_precision": "0.003", "warmup": "0.0"},
        "curvature": {"labels": "exact", "max_examples": "60"},
        "preview": {"points": "10", "prior_precision": "0.003"},
        "joint": {"points": "2"},
    }
    text = f"name: small digits\nsnapshot_seconds: {snapshots}\nmodel:\n  source: digits\n"
    for part, fields in parts.items():
        fields |= {key.removeprefix(f"{part}_"): value for key, value in changes.items() if key.startswith(f"{part}_")}
        text += f"{part}:\n" + "".join(f"  {key}: {value}\n" for key, value in fields.items())
    path = folder / "small.yaml"
    path.write_text(text)
    return path
