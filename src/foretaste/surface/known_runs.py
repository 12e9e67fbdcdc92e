"""Known runs: joint runs and single-task models, from which predictors learn."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from foretaste.one_line import one_line
from foretaste.surface.table import Array

__all__ = ["KnownRuns"]


@dataclass(frozen=True)
class KnownRuns:
    """Joint runs and single-task models, with their values.

    Args:
        alphas: `[N, D]`, the weights of D tasks or domains.
        values: `[N, T]`.
        counts: `[N, T]`, whether the value tells about joint finetuning.
        exact: `[N]`, whether the run is a single-task model, where previews are exact.
        noise: `[T]`, the least standard deviation of every other run, for its finite number of examples.
        columns: `[T]`, the column of each task's weight; None for a task that is not mixed itself.
    """

    alphas: Array
    values: Array
    counts: NDArray[np.bool_]
    exact: NDArray[np.bool_]
    noise: Array
    columns: tuple[int | None, ...]

    __repr__ = one_line

    def thinned(self, count: int) -> "KnownRuns":
        """Return so many of the runs, evenly among all.

        >>> runs = KnownRuns(*[np.zeros((9, 2))] * 2, *[np.ones((9, 2), bool)] * 2, np.zeros(2), (0, 1))
        >>> runs.thinned(3).alphas.shape
        (3, 2)
        """
        places = np.linspace(0, len(self.alphas) - 1, count).astype(int)
        return replace(
            self,
            alphas=self.alphas[places],
            values=self.values[places],
            counts=self.counts[places],
            exact=self.exact[places],
        )
