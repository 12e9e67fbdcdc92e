"""Precision: an inverse covariance, as a linear operator on params with a structure."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from foretaste.errors import ParamsError
from foretaste.lendable import Lendable
from foretaste.params import Params, wide
from foretaste.posterior.conjugate import EXACT, Stop, conjugate_gradients
from foretaste.stored import Stored

__all__ = ["Piece", "Precision", "Sum", "couple", "dense", "flat", "unflat"]

_DENSE_LIMIT = 4096


class Piece:
    """A part of the params: some whole tensors, or a slice of one flattened tensor.

    >>> Piece(["w"], slice(0, 2)).of({"w": torch.arange(4.0)})
    {'w': tensor([0., 1.])}
    """

    def __init__(self, names: Iterable[str], cut: slice | None = None) -> None:
        self.names = tuple(names)
        self.cut = cut

    def of(self, params: Params) -> dict[str, Tensor]:
        """Take this part of some params.

        Params in files are read. Others give a view where the tensor is contiguous.
        """
        if self.cut is None:
            return {name: params[name] for name in self.names}
        if isinstance(params, Stored | Lendable):
            return {name: params.part(name, self.cut) for name in self.names}
        return {name: params[name].flatten()[self.cut] for name in self.names}


class Precision(ABC):
    """A symmetric, positive semi-definite operator ``S`` on params.

    Every structure has every method. In a sum, the more general structure absorbs the simpler one (`plus`). Where
    neither can, the sum stays lazy (`Sum`).
    """

    structure: str

    @abstractmethod
    def apply(self, params: Params) -> dict[str, Tensor]:
        """Compute ``S x`` in new tensors, in float32 or wider."""

    @abstractmethod
    def solve(self, params: Params) -> dict[str, Tensor]:
        """Compute ``S^-1 x`` in float32 or wider; S must be definite."""

    @abstractmethod
    def __mul__(self, factor: float) -> "Precision":
        """Compute ``factor * S`` for a factor of at least 0; the structure stays."""

    @abstractmethod
    def plus(self, other: "Precision") -> "Precision | None":
        """Compute ``S + other`` in this structure; None where this structure cannot hold it."""

    @abstractmethod
    def log_det(self, like: Params) -> float:
        """Compute ``log |S|`` over the names and shapes of ``like``."""

    @abstractmethod
    def sample(self, like: Params, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw once from ``N(0, S^-1)`` in the shapes of ``like``; S must be definite."""

    @abstractmethod
    def to_tensors(self) -> dict[str, Tensor]:
        """Return tensors from which `from_tensors` makes this precision again."""

    @classmethod
    @abstractmethod
    def from_tensors(cls, tensors: Params) -> "Precision":
        """Make a precision from the tensors that `to_tensors` returned."""

    @abstractmethod
    def groups(self, names: Sequence[str]) -> list[tuple[str, ...]] | None:
        """Group the names that are coupled with each other; None if no entry is coupled with any other."""

    @abstractmethod
    def restrict(self, piece: Piece) -> "Precision":
        """Return the block of S on one piece, which must not cut through a group."""

    @abstractmethod
    def check(self, like: Params, owner: str) -> None:
        """Check that a precision with one number per entry has the shapes of the params, so that none is broadcast.

        Args:
            like: The params.
            owner: What the precision belongs to, for the error.

        Raises:
            ParamsError: The shapes differ.
        """

    def __add__(self, other: "Precision") -> "Precision":
        """Compute ``S + other`` in the more general of the two structures, or as a lazy sum."""
        return self.plus(other) or other.plus(self) or Sum((self, other))

    def __rmul__(self, factor: float) -> "Precision":
        return self * factor


class Sum(Precision):
    """A sum that no term's structure can hold, as a list of its terms.

    `solve` uses conjugate gradients and adds up in float64. `log_det` and `sample` factorise each group densely, and
    refuse groups of more than 4096 entries.

    Args:
        terms: At least one precision.
    """

    structure = "sum"

    def __init__(self, terms: Iterable[Precision]) -> None:
        self.terms = tuple(terms)

    def apply(self, params: Params) -> dict[str, Tensor]:
        total = self.terms[0].apply(params)
        for term in self.terms[1:]:
            total = {name: total[name] + part for name, part in term.apply(params).items()}
        return total

    def solve(self, params: Params, start: Params | None = None, stop: Stop = EXACT) -> dict[str, Tensor]:
        """Compute ``S^-1 x`` by conjugate gradients.

        Args:
            params: x.
            start: Where to begin; 0 if left out.
            stop: When to stop.
        """
        like = {name: wide(tensor) for name, tensor in params.items()}
        right = flat(params)
        # 0 times x, since it is NaN where x is not finite.
        begin = right * 0 if start is None else flat({name: start[name] for name in params})

        def image(vector: Tensor) -> Tensor:
            return flat(self.apply({name: part.to(like[name].dtype) for name, part in unflat(vector, like).items()}))

        solution = begin + conjugate_gradients(right - image(begin), image, torch.dot, stop)
        return {name: part.to(like[name].dtype) for name, part in unflat(solution, like).items()}

    def __mul__(self, factor: float) -> "Sum":
        return Sum(term * factor for term in self.terms)

    def plus(self, other: Precision) -> "Sum":
        for index, term in enumerate(self.terms):
            total = term.plus(other) or other.plus(term)
            if total is not None:
                return Sum((*self.terms[:index], total, *self.terms[index + 1 :]))
        return Sum((*self.terms, other))

    def log_det(self, like: Params) -> float:
        total = 0.0
        for piece in self._pieces(like):
            factor = torch.linalg.cholesky(dense(self.restrict(piece), piece.of(like)))
            total += 2 * float(factor.diagonal().log().sum())
        return total

    def sample(self, like: Params, generator: torch.Generator) -> dict[str, Tensor]:
        sample: dict[str, Tensor] = {}
        for piece in self._pieces(like):
            part = piece.of(like)
            factor = torch.linalg.cholesky(dense(self.restrict(piece), part))
            noise = torch.randn(len(factor), 1, dtype=factor.dtype, generator=generator)
            sample |= unflat(torch.linalg.solve_triangular(factor.T, noise, upper=True).squeeze(1), part)
        return {name: sample[name].to(wide(like[name]).dtype) for name in like}

    def to_tensors(self) -> dict[str, Tensor]:
        raise ParamsError("a lazy sum is not kept on disk: keep its terms, which are the tasks' sites")

    @classmethod
    def from_tensors(cls, tensors: Params) -> "Sum":
        raise ParamsError("a lazy sum is not kept on disk: load its terms and add them")

    def groups(self, names: Sequence[str]) -> list[tuple[str, ...]] | None:
        return couple(self.terms, names)

    def check(self, like: Params, owner: str) -> None:
        for term in self.terms:
            term.check(like, owner)

    def restrict(self, piece: Piece) -> "Sum":
        return Sum(term.restrict(piece) for term in self.terms)

    def _pieces(self, like: Params) -> list[Piece]:
        groups = self.groups(list(like)) or [(name,) for name in like]
        return [Piece(group) for group in groups]


def couple(precisions: Iterable[Precision], names: Sequence[str]) -> list[tuple[str, ...]] | None:
    """Group names so finely that no precision couples two groups; None if no precision couples anything.

    >>> couple([], ["a", "b"]) is None
    True
    """
    partitions = [groups for precision in precisions if (groups := precision.groups(names)) is not None]
    if not partitions:
        return None
    home = {name: {name} for name in names}
    for group in (group for partition in partitions for group in partition):
        together = set().union(*(home[name] for name in group))
        home.update(dict.fromkeys(together, together))
    return list(dict.fromkeys(tuple(name for name in names if name in home[first]) for first in names))


def flat(params: Params) -> Tensor:
    """Put all tensors into one float64 vector, in the order of their names.

    >>> flat({"a": torch.ones(1), "b": torch.zeros(1)})
    tensor([1., 0.], dtype=torch.float64)
    """
    return torch.cat([tensor.double().flatten() for tensor in params.values()])


def unflat(vector: Tensor, like: Params) -> dict[str, Tensor]:
    """Cut a vector of `flat` into tensors again.

    Args:
        vector: As many numbers as ``like`` has entries.
        like: The names and shapes of the tensors.

    >>> unflat(torch.tensor([1.0, 2.0]), {"a": torch.zeros(2)})
    {'a': tensor([1., 2.])}
    """
    parts = torch.split(vector, [tensor.numel() for tensor in like.values()])
    return {name: part.reshape(like[name].shape) for name, part in zip(like, parts, strict=True)}


def dense(precision: Precision, like: Params) -> Tensor:
    """Compute the matrix of a small precision, for tests and small groups.

    Args:
        precision: Any structure.
        like: Params with D entries in all; D at most 4096.

    Returns:
        `[D, D]` in float64.

    Raises:
        ParamsError: More than 4096 entries.

    >>> from foretaste.posterior.isotropic import Isotropic
    >>> dense(Isotropic(2.0), {"w": torch.zeros(2)})
    tensor([[2., 0.],
            [0., 2.]], dtype=torch.float64)
    """
    count = sum(tensor.numel() for tensor in like.values())
    if count > _DENSE_LIMIT:
        raise ParamsError(f"a dense matrix of {count} entries was asked for; at most {_DENSE_LIMIT} fit")
    columns = [flat(precision.apply(unflat(unit, like))) for unit in torch.eye(count, dtype=torch.float64)]
    return torch.stack(columns, dim=1) if columns else torch.zeros(0, 0, dtype=torch.float64)
