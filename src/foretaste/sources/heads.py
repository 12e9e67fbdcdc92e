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
    """One trunk with several classification heads; every example says which head it wants.

    The trunk sees a batch once, whatever heads its examples want.

    Args:
        models: Classification models of one architecture, by head; their trunks become the first one's.
        sizes: Classes of each head.
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
        """Logits, `[B, most classes]`, of each example's own head; classes it lacks are impossible.

        Args:
            head: `[B]`, places of heads.
            inputs: What the trunk takes.
        """
        logits: Tensor | None = None
        with self.once.remembering():
            for place in sorted(set(head.tolist())):
                found = list(self.heads.values())[place](**inputs).logits
                padded = nn.functional.pad(found, (0, max(self.sizes) - self.sizes[place]), value=_IMPOSSIBLE)
                mine = (head == place).unsqueeze(1)
                logits = padded if logits is None else torch.where(mine, padded, logits)
        assert logits is not None
        return logits

    @contextmanager
    def apart(self) -> Iterator[dict[str, nn.Module]]:
        """By head, the models as they were made, each with the trunk itself; do not call this one meanwhile."""
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
        """What the heads are called."""
        return [key.removeprefix(_key("")) for key in self.heads]

    def name_of(self, head: str, name: str, prefix: str) -> str:
        """A tensor's name here, by its name in one head's own model.

        Args:
            head: Whose model.
            name: There.
            prefix: Of the trunk's names there, with its dot.
        """
        return f"trunk.{name.removeprefix(prefix)}" if name.startswith(prefix) else f"heads.{_key(head)}.{name}"

    def own_name(self, name: str) -> str:
        """A tensor's name in its head's own model, by its name here: what `name_of` undoes."""
        return f"{self.prefix}.{name.removeprefix('trunk.')}" if name.startswith("trunk.") else name.split(".", 2)[2]

    def names(self, head: str) -> frozenset[str]:
        """The parameters of one head and of the trunk."""
        own = f"heads.{_key(head)}."
        return frozenset(name for name in parameters_of(self) if not name.startswith("heads.") or name.startswith(own))


class _Once(nn.Module):
    """A trunk that runs once for several heads: within `remembering`, later calls get the first one's output."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk
        self._kept: list[object] | None = None

    @contextmanager
    def remembering(self) -> Iterator[None]:
        """All calls inside are for the same inputs."""
        self._kept = []
        try:
            yield
        finally:
            self._kept = None

    def forward(self, *args: object, **kwargs: object) -> object:
        """The trunk's output, a copy for each head: some heads change it in place."""
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
    """A head's name among modules; a bare one such as `type` would hide a method of `ModuleDict`."""
    return f"for_{head}"
