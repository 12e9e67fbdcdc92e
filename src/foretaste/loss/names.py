"""The names of the losses, for those who say by a word what a model was trained with."""

from collections.abc import Callable, Mapping
from typing import Literal

from foretaste.errors import TaskError
from foretaste.loss.bernoulli import Bernoulli
from foretaste.loss.cross_entropy import ShapedCrossEntropy
from foretaste.loss.loss import Loss
from foretaste.loss.squared import Squared

__all__ = ["LossName", "loss_named"]

LossName = Literal["cross-entropy", "squared", "bernoulli"]

_LOSSES: Mapping[str, Callable[[], Loss]] = {
    "cross-entropy": ShapedCrossEntropy,
    "squared": Squared,
    "bernoulli": Bernoulli,
}


def loss_named(loss: LossName | Loss) -> Loss:
    """Return the loss of a name; a loss itself is returned as it is.

    Args:
        loss: ``cross-entropy`` (of one class per example or of label tokens, by the labels' shape), ``squared`` or
            ``bernoulli``; or a loss.

    Raises:
        TaskError: There is no loss of this name.

    >>> loss_named("squared"), loss_named(Bernoulli())
    (Squared(), Bernoulli())
    """
    if not isinstance(loss, str):
        return loss
    if loss not in _LOSSES:
        raise TaskError(f"there is no loss {loss!r}; give {', '.join(map(repr, _LOSSES))}, or a loss such as Squared()")
    return _LOSSES[loss]()
