"""Laws written once, and what they are run over: precision structures and families of hard inputs."""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from hypothesis import settings
from torch import Tensor

from foretaste.params import Params, wide
from foretaste.posterior.axes import Axes
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.kronecker import Kronecker, KroneckerSum
from foretaste.posterior.lowrank import LowRank
from foretaste.posterior.precision import Piece, Precision, Sum, dense, flat, unflat

quick = settings(max_examples=25, deadline=None, derandomize=True, database=None)


def random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=random(seed), dtype=torch.float64).to(dtype)


class Dense(Precision):
    """A full matrix over all its names: couples every entry with every other and absorbs nothing."""

    structure = "dense"

    def __init__(self, matrix: Tensor, shapes: Mapping[str, torch.Size]) -> None:
        self.matrix = matrix
        self.shapes = dict(shapes)

    def apply(self, params: Params) -> dict[str, Tensor]:
        return self._in_types_of(params, self.matrix @ self._vector(params))

    def solve(self, params: Params) -> dict[str, Tensor]:
        return self._in_types_of(params, torch.linalg.solve(self.matrix, self._vector(params)))

    def _vector(self, params: Params) -> Tensor:
        assert set(params) == set(self.shapes), "a group was cut"
        return flat({name: params[name] for name in self.shapes})

    def _in_types_of(self, params: Params, vector: Tensor) -> dict[str, Tensor]:
        found = unflat(vector, {name: params[name] for name in self.shapes})
        return {name: found[name].to(wide(params[name]).dtype) for name in params}

    def __mul__(self, factor: float) -> "Dense":
        return Dense(self.matrix * factor, self.shapes)

    def plus(self, other: Precision) -> None:
        return None

    def log_det(self, like: Params) -> float:
        assert set(like) == set(self.shapes), "a group was cut"
        return float(torch.linalg.slogdet(self.matrix).logabsdet)

    def sample(self, like: Params, generator: torch.Generator) -> dict[str, Tensor]:
        noise = torch.randn(len(self.matrix), generator=generator, dtype=torch.float64)
        root = torch.linalg.inv(torch.linalg.cholesky(self.matrix)).T
        return self._in_types_of(like, root @ noise)

    def to_tensors(self) -> dict[str, Tensor]:
        return {"matrix": self.matrix} | {f"shape/{name}": torch.tensor(shape) for name, shape in self.shapes.items()}

    @classmethod
    def from_tensors(cls, tensors: Params) -> "Dense":
        shapes = {
            name.removeprefix("shape/"): torch.Size(t.tolist()) for name, t in tensors.items() if name != "matrix"
        }
        return cls(tensors["matrix"], shapes)

    def check(self, like: Params, owner: str) -> None:
        pass

    def groups(self, names: Sequence[str]) -> list[tuple[str, ...]]:
        together = tuple(name for name in names if name in self.shapes)
        return [together, *((name,) for name in names if name not in self.shapes)]

    def restrict(self, piece: Piece) -> "Dense":
        assert piece.cut is None, "a group was cut"
        assert set(piece.names) >= set(self.shapes), "a group was cut"
        return self


def dense_like(like: Params, seed: int = 0) -> Dense:
    """A well-conditioned coupled precision on these names and shapes."""
    count = sum(tensor.numel() for tensor in like.values())
    root = normal(count, count, seed=seed, dtype=torch.float64)
    matrix = root @ root.T / max(count, 1) + torch.eye(count, dtype=torch.float64)
    return Dense(matrix, {name: tensor.shape for name, tensor in like.items()})


def diagonal_like(like: Params, seed: int = 0, low: float = -1.0, high: float = 1.0) -> Diagonal:
    """Entries spread evenly over orders of magnitude, from ``10**low`` to ``10**high``."""
    generator = random(seed)
    spans = {name: low + (high - low) * torch.rand(tensor.shape, generator=generator) for name, tensor in like.items()}
    return Diagonal({name: (10 ** span.double()).to(wide(like[name]).dtype) for name, span in spans.items()})


def kronecker_like(like: Params, seed: int = 0, turn: int = 0, *, biases: bool = False, few: bool = False) -> Kronecker:
    """Random bases for tensors of two dimensions or more, which depend on ``turn`` alone; a diagonal for the rest.

    With biases, each layer takes the first free vector as long as its rows for its last column; with few, it
    keeps about half of the directions on each side.
    """
    basis: dict[str, Axes] = {}
    free = [name for name, tensor in like.items() if tensor.dim() == 1] if biases else []
    for place, (name, tensor) in enumerate((name, tensor) for name, tensor in like.items() if tensor.dim() > 1):
        bias = next((each for each in free if len(like[each]) == len(tensor)), None)
        free = [each for each in free if each != bias]
        columns = math.prod(tensor.shape[1:]) + (bias is not None)
        left, right = orthogonal(len(tensor), turn + 10 * place), orthogonal(columns, turn + 10 * place + 5)
        left, right = (side[:, : (len(side) + 1) // 2].contiguous() if few else side for side in (left, right))
        basis[name] = Axes(left, right, bias)
    shapes = {name: like[name].new_zeros(axes.left.shape[1], axes.right.shape[1]) for name, axes in basis.items()}
    taken = set(basis) | {axes.bias for axes in basis.values()}
    rest = {name: tensor for name, tensor in like.items() if name not in taken}
    outside = diagonal_like({name: tensor.new_zeros(()) for name, tensor in shapes.items()}, seed + 2)
    return Kronecker(basis, diagonal_like(shapes, seed).entries, diagonal_like(rest, seed + 1).entries, outside.entries)


def kronecker_sum_like(like: Params, *, biases: bool = False, few: bool = False) -> KroneckerSum:
    """Two in different bases."""
    return KroneckerSum(kronecker_like(like, seed, turn, biases=biases, few=few) for seed, turn in ((1, 0), (4, 7)))


def orthogonal(size: int, seed: int = 0) -> Tensor:
    """In float32, as estimated bases are."""
    turned: Tensor = torch.linalg.qr(normal(size, size, seed=seed + 50, dtype=torch.float64)).Q
    return turned.float()


def lowrank_like(like: Params, seed: int = 0) -> LowRank:
    """Two directions with more curvature than the diagonal, and one with less: a fifth of the diagonal stays there."""
    diagonal = diagonal_like(like, seed)
    rows = {name: normal(3, *tensor.shape, seed=seed + 60 + place) for place, (name, tensor) in enumerate(like.items())}
    last = {name: tensor[2] for name, tensor in rows.items()}
    length = sum(float((last[name].square() / entries).sum()) for name, entries in diagonal.entries.items())
    vectors = {name: tensor.to(wide(like[name]).dtype) for name, tensor in rows.items()}
    return LowRank(diagonal.entries, vectors, torch.tensor([2.0, 0.5, -0.8 / max(length, 1e-3)]))


def kronecker_by_hand(precision: Kronecker, like: Params) -> Tensor:
    """The matrix from Kronecker products; a layer's bias is its last column."""
    count = sum(tensor.numel() for tensor in like.values())
    order, matrix = unflat(torch.arange(count), like), torch.zeros(count, count, dtype=torch.float64)
    for name, axes in precision.basis.items():
        both = torch.einsum("ia,jb->ijab", axes.left.double(), axes.right.double()).flatten(2).flatten(0, 1)
        places = order[name].flatten(1)
        places = (
            places if axes.bias is None else torch.cat([places, order[axes.bias].reshape(-1, 1)], dim=1)
        ).flatten()
        inside = both @ torch.diag(precision.eigenvalues[name].double().flatten()) @ both.T
        left, right = axes.left.double(), axes.right.double()
        beyond = torch.eye(len(both), dtype=torch.float64) - torch.kron(left @ left.T, right @ right.T)
        matrix[places[:, None], places] = inside + float(precision.outside[name]) * beyond * (axes.outside > 0)
    for name, entries in precision.diagonal.entries.items():
        matrix[order[name], order[name]] = entries.double()
    return matrix


def lowrank_by_hand(precision: LowRank, like: Params) -> Tensor:
    """The matrix from its diagonal and its directions."""
    rows = torch.stack(
        [flat({name: precision.vectors[name][place] for name in like}) for place in range(len(precision.scales))]
    )
    entries = flat({name: precision.diagonal.entries[name] for name in like})
    return torch.diag(entries) + rows.T @ torch.diag(precision.scales.double()) @ rows


def _sum_like(like: Params) -> Sum:
    return Sum([dense_like(like), diagonal_like(like, 1), Isotropic(0.5)])


STRUCTURES: dict[str, Callable[[Params], Precision]] = {
    "isotropic": lambda like: Isotropic(2.5),
    "isotropic tiny": lambda like: Isotropic(1e-10),
    "isotropic huge": lambda like: Isotropic(1e15),
    "diagonal": diagonal_like,
    "diagonal 1e-10 to 1e15": lambda like: diagonal_like(like, 2, -10, 15),
    "kronecker": kronecker_like,
    "kronecker with biases": lambda like: kronecker_like(like, biases=True),
    "kronecker of few directions": lambda like: kronecker_like(like, biases=True, few=True),
    "kronecker sum": kronecker_sum_like,
    "kronecker sum of few directions": lambda like: kronecker_sum_like(like, biases=True, few=True),
    "lowrank": lowrank_like,
    "dense": dense_like,
    "sum": _sum_like,
    "scaled sum": lambda like: _sum_like(like) * 1e-10,
}


HARD: dict[str, dict[str, Tensor]] = {
    "one tensor": {"w": normal(3, 2)},
    "several": {"a": normal(2, seed=1), "b": normal(2, 2, seed=2), "c": normal(1, 3, seed=3)},
    "scalars": {"s": normal(seed=4), "v": normal(2, seed=5), "t": normal(seed=6)},
    "empty": {"e": torch.zeros(0, 3), "w": normal(2, seed=7)},
    "nothing": {"e": torch.zeros(0)},
    "bfloat16": {"w": normal(2, 2, seed=8, dtype=torch.bfloat16), "b": normal(2, seed=9, dtype=torch.bfloat16)},
    "float16": {"w": normal(4, seed=10, dtype=torch.float16)},
    "float64": {"w": normal(2, 2, seed=11, dtype=torch.float64), "b": normal(2, seed=12, dtype=torch.float64)},
    "mixed types": {"w": normal(3, seed=13, dtype=torch.bfloat16), "b": normal(2, seed=14)},
    "non-contiguous": {"t": normal(2, 3, seed=15).T, "s": normal(6, seed=16)[::2], "x": normal(1, seed=17).expand(3)},
    "tiny": {"w": normal(3, seed=18) * 1e-10},
    "huge": {"w": normal(3, seed=19) * 1e15},
}


def assert_close(found: Params, expected: Params, tolerance: float) -> None:
    """Equal names, shapes and values, relative to each tensor's norm."""
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert found[name].shape == tensor.shape, name
        gap = float((found[name].double() - tensor.double()).norm())
        assert gap <= tolerance * float(tensor.double().norm()), (name, gap)


def assert_same(found: Params, expected: Params) -> None:
    """Equal names, types and bits."""
    assert set(found) == set(expected)
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype, name
        assert torch.equal(found[name], tensor), name


def _matrix(precision: Precision, like: Params) -> Tensor:
    """The matrix from unit vectors, asked one at a time, in float64."""
    return dense(precision, like)


def assert_symmetric_and_definite(precision: Precision, like: Params) -> None:
    matrix = _matrix(precision, like)
    torch.testing.assert_close(matrix, matrix.T, rtol=1e-6, atol=0)
    assert bool((torch.linalg.eigvalsh(matrix) > 0).all())


def assert_apply_agrees_with_dense(precision: Precision, like: Params) -> None:
    expected = unflat(_matrix(precision, like) @ flat(like), like)
    found = precision.apply(like)
    assert_close(found, expected, 1e-5)
    assert_wide(found, like)


def assert_solve_inverts_apply(precision: Precision, like: Params) -> None:
    found = precision.solve(precision.apply(like))
    assert_close(found, like, 1e-5)
    assert_close(precision.apply(precision.solve(like)), like, 1e-5)
    assert_wide(found, like)


def assert_wide(found: Params, like: Params) -> None:
    for name, tensor in like.items():
        assert found[name].dtype == torch.promote_types(tensor.dtype, torch.float32), name


def assert_inputs_untouched(precision: Precision, like: Params) -> None:
    kept = {name: tensor.clone() for name, tensor in like.items()}
    before = _matrix(precision, like)
    precision.apply(like)
    precision.solve(like)
    _ = precision * 0.5
    _ = precision + precision
    precision.log_det(like)
    precision.sample(like, random(0))
    assert_same(like, kept)
    assert torch.equal(_matrix(precision, like), before)


def assert_scales(precision: Precision, like: Params) -> None:
    expected = _matrix(precision, like)
    for scaled in (precision * 0.25, 0.25 * precision):
        assert type(scaled) is type(precision)
        torch.testing.assert_close(_matrix(scaled, like), 0.25 * expected, rtol=1e-6, atol=0)
    assert not _matrix(precision * 0.0, like).any()


def assert_adds(left: Precision, right: Precision, like: Params, promised: type[Precision]) -> None:
    expected = _matrix(left, like) + _matrix(right, like)
    for total in (left + right, right + left):
        assert type(total) is promised
        torch.testing.assert_close(_matrix(total, like), expected, rtol=1e-5, atol=1e-6 * float(expected.norm()))


def assert_log_det_agrees_with_dense(precision: Precision, like: Params) -> None:
    expected = float(torch.logdet(_matrix(precision, like)))
    assert math.isclose(precision.log_det(like), expected, rel_tol=1e-5, abs_tol=1e-5)


def assert_sample_has_covariance(precision: Precision, like: Params, draws: int) -> None:
    """Whitened draws ``L' x`` (S = L L') must look standard normal, whatever the scales."""
    generator = random(7)
    drawn = [precision.sample(like, generator) for _ in range(draws)]
    assert all(drawn[0][name].shape == tensor.shape for name, tensor in like.items())
    root = torch.linalg.cholesky(_matrix(precision, like))
    white = torch.stack([flat({name: each[name] for name in like}) for each in drawn]) @ root
    error = 5 / math.sqrt(draws)
    assert float(white.mean(0).abs().max()) < error
    gap = white.T @ white / draws - torch.eye(len(root), dtype=torch.float64)
    assert float(gap.abs().max()) < error * math.sqrt(2)


def assert_sample_is_seeded(precision: Precision, like: Params) -> None:
    assert_same(precision.sample(like, random(3)), precision.sample(like, random(3)))
    other = precision.sample(like, random(4))
    assert not torch.equal(flat(precision.sample(like, random(3))), flat(other))


def assert_survives_storage(precision: Precision, like: Params) -> None:
    tensors = precision.to_tensors()
    assert all(isinstance(tensor, Tensor) for tensor in tensors.values())
    again = type(precision).from_tensors(tensors)
    assert again.structure == precision.structure
    assert torch.equal(_matrix(again, like), _matrix(precision, like))


def assert_groups_are_uncoupled(precision: Precision, like: Params) -> None:
    """Entries of different groups (of different places, where there is no group) have no covariance."""
    matrix, groups = _matrix(precision, like), precision.groups(list(like))
    if groups is None:
        assert torch.equal(matrix, torch.diag(matrix.diagonal()))
        return
    assert sorted(name for group in groups for name in group) == sorted(like)
    home = torch.cat(
        [torch.full((like[name].numel(),), index) for name in like for index, g in enumerate(groups) if name in g]
    )
    assert not matrix[home[:, None] != home[None, :]].any()


def assert_restricts_to_blocks(precision: Precision, like: Params) -> None:
    matrix = _matrix(precision, like)
    places = unflat(torch.arange(len(matrix)), like)
    for piece in _pieces(precision, like):
        rows = torch.cat([part.flatten() for part in piece.of(places).values()])
        block = _matrix(precision.restrict(piece), piece.of(like))
        torch.testing.assert_close(block, matrix[rows][:, rows], rtol=1e-6, atol=0)


def _pieces(precision: Precision, like: Params) -> list[Piece]:
    groups = precision.groups(list(like))
    if groups is not None:
        return [Piece(group) for group in groups]
    whole = [Piece(list(like)), *(Piece([name]) for name in like)]
    return whole + [Piece([name], cut) for name in like for cut in (slice(0, 2), slice(1, 3), slice(2, 100))]


LAWS: dict[str, Callable[[Precision, Params], None]] = {
    "apply agrees with dense": assert_apply_agrees_with_dense,
    "solve inverts apply": assert_solve_inverts_apply,
    "symmetric and definite": assert_symmetric_and_definite,
    "inputs untouched": assert_inputs_untouched,
    "scales": assert_scales,
    "log det agrees with dense": assert_log_det_agrees_with_dense,
    "groups are uncoupled": assert_groups_are_uncoupled,
    "restricts to blocks": assert_restricts_to_blocks,
}
