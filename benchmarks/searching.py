"""What a step of `foretaste search` costs beside prediction, training and evaluation: finding out what is left to do.

    python benchmarks/searching.py [--rows 100 1000] [--out FILE]

Studies are those of showing_study.py, with joint runs and previews from a formula. A search then goes on with them for
a few more joint runs and previews of digits. Counted is the time of the whole search without what it waits for:
fitting, previews, joint runs, prediction, recommendation and proposals, each of which is timed where the search calls
it.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar
from unittest import mock

from foretaste.surface.preference import Preference
from foretaste.surface.searched import Budget, Progress
from foretaste.workflow import search
from foretaste.workflow.reopen import reopen
from showing_study import study_of

_P = ParamSpec("_P")
_R = TypeVar("_R")

PREDICTION = ("outlook", "recommend", "propose", "foretold")
EVALUATION = ("fit", "preview", "confirm")
MORE = Budget(joint=3, previews=20)


@contextmanager
def timed(names: tuple[str, ...], seconds: dict[str, float]) -> Iterator[None]:
    """Add up the seconds spent in functions that the search calls."""

    def watched(name: str, function: Callable[_P, _R]) -> Callable[_P, _R]:
        def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                seconds[name] += time.perf_counter() - start

        return call

    with ExitStack() as stack:
        for name in names:
            stack.enter_context(mock.patch.object(search, name, watched(name, getattr(search, name))))
        yield


def measured(count: int) -> dict[str, float]:
    """Seconds of a search that goes on with a study of so many rows."""
    seconds, steps = defaultdict[str, float](float), list[Progress]()
    with tempfile.TemporaryDirectory() as folder:
        study_of(Path(folder, "study"), count)
        session = reopen(Path(folder, "study"))
        with session.study, timed((*PREDICTION, *EVALUATION), seconds):
            budget = Budget(joint=min(20, count // 10) + MORE.joint, previews=count + MORE.previews)
            start = time.perf_counter()
            search.search(session, budget, Preference("mean", {}), tolerance=0.0, on_progress=steps.append)
            whole = time.perf_counter() - start
    return {
        "steps": len(steps),
        "seconds a step, beside the rest": round((whole - sum(seconds.values())) / len(steps), 4),
        "of prediction a step": round(sum(seconds[name] for name in PREDICTION) / len(steps), 3),
        "of training and evaluation in all": round(sum(seconds[name] for name in EVALUATION), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    found: dict[str, object] = {
        "command": "python benchmarks/searching.py",
        "date": time.strftime("%Y-%m-%d"),
        "python": sys.version.split()[0],
    }
    for count in options.rows:
        found[f"{count} rows"] = measured(count)
        print(f"{count} rows: {found[f'{count} rows']}", flush=True)
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
