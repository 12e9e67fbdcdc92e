"""One trunk with several classification heads, so that tasks of different labels share all but the last layers."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from foretaste.params import parameters_of
from foretaste.sources.extra import transformers

__all__ = ["Heads"]

_IMPOSSIBLE = -1e4  # a logit whose probability is 0 in every precision


class Heads(nn.Module):
    """One trunk with several classification heads; every example names its head.

    The trunk runs once per batch, whatever heads its examples have.

    Args:
        models: Classification models of one architecture, by head; their trunks become the first one's.
        sizes: Number of classes of each head.
    """

    def __init__(self, models: Mapping[str, nn.Module], sizes: Sequence[int]) -> None:
        super().__init__()
        first = next(iter(models.values()))
        self.prefix = prefix = str(first.base_model_prefix)
        self.trunk = getattr(first, prefix)
        self.once = _Once(self.trunk)
        for model in models.values():
            setattr(model, prefix, self.once)
        self.heads = nn.ModuleDict({_key(name): model for name, model in models.items()})
        self.sizes = sizes

    def forward(self, head: Tensor, **inputs: Tensor) -> Tensor:
        """Compute the logits `[B, most classes]` of each example's own head; classes that it lacks are impossible.

        Args:
            head: `[B]`, the place of each example's head.
            inputs: The trunk's inputs.
        """
        logits: Tensor | None = None
        with self.once.remembering():
            for place in sorted(set(head.tolist())):
                own = list(self.heads.values())[place](**inputs).logits
                padded = nn.functional.pad(own, (0, max(self.sizes) - self.sizes[place]), value=_IMPOSSIBLE)
                mine = (head == place).unsqueeze(1)
                logits = padded if logits is None else torch.where(mine, padded, logits)
        assert logits is not None
        return logits

    @contextmanager
    def apart(self) -> Iterator[dict[str, nn.Module]]:
        """Yield the original models by head, each with the trunk inside; this model must not be called meanwhile."""
        models = list(self.heads.values())
        prefix = str(models[0].base_model_prefix)
        try:
            for model in models:
                setattr(model, prefix, self.trunk)
            yield {key.removeprefix(_key("")): model for key, model in self.heads.items()}
        finally:
            for model in models:
                setattr(model, prefix, self.once)

    @property
    def head_names(self) -> list[str]:
        """List the names of the heads."""
        return [key.removeprefix(_key("")) for key in self.heads]

    def name_of(self, head: str, name: str, prefix: str) -> str:
        """Return a tensor's name in this model by its name in one head's own model.

        Args:
            head: The head.
            name: The name in the head's own model.
            prefix: Prefix of the trunk's names in that model, with its dot.
        """
        return f"trunk.{name.removeprefix(prefix)}" if name.startswith(prefix) else f"heads.{_key(head)}.{name}"

    def own_name(self, name: str) -> str:
        """Return a tensor's name in its head's own model by its name in this one; `name_of` is the inverse."""
        return f"{self.prefix}.{name.removeprefix('trunk.')}" if name.startswith("trunk.") else name.split(".", 2)[2]

    def names(self, head: str) -> frozenset[str]:
        """Name the parameters of one head and of the trunk."""
        own = f"heads.{_key(head)}."
        return frozenset(name for name in parameters_of(self) if not name.startswith("heads.") or name.startswith(own))


class _Once(nn.Module):
    """A trunk that runs once for several heads: within `remembering`, later calls return the first call's output."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk
        self._kept: list[object] | None = None

    @contextmanager
    def remembering(self) -> Iterator[None]:
        """Treat all calls in the block as calls with the same inputs."""
        self._kept = []
        try:
            yield
        finally:
            self._kept = None

    def forward(self, *args: object, **kwargs: object) -> object:
        """Return the trunk's output, copied for each head, as some heads change it in place."""
        if self._kept is None:
            return self.trunk(*args, **kwargs)
        if not self._kept:
            self._kept.append(self.trunk(*args, **kwargs))
        return _copied(self._kept[0])


def _copied(value: object) -> object:
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, transformers.utils.ModelOutput):
        return type(value)(**{key: _copied(element) for key, element in value.items()})
    return type(value)(_copied(element) for element in value) if isinstance(value, tuple) else value


def _key(head: str) -> str:
    """Return a head's name among modules; a bare name such as `type` would hide a method of `ModuleDict`."""
    return f"for_{head}"
