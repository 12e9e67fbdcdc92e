"""Mergeability: one line for each two tasks, one for each method's corners, and what to do."""

from collections.abc import Mapping
from dataclasses import asdict

from rich.console import Group
from rich.text import Text

from foretaste.report.summary_json import plain
from foretaste.report.wording import counted, number, share, signed
from foretaste.surface.mergeability import Corner, Mergeability, Pair, Verdict, pairs_of
from foretaste.surface.table import Surface

__all__ = ["advice", "between", "cornered", "mergeability_json", "overall", "paired"]

_STYLES: Mapping[Verdict, str] = {"sound": "green", "loses": "yellow", "fails": "red"}
_SAID: Mapping[Verdict, str] = {"sound": "averaging is sound", "loses": "averaging loses", "fails": "averaging fails"}
_ADVICE: Mapping[Verdict, str] = {
    "sound": "Where averaging is sound, previews by simple are near joint finetuning, and other methods can add little.",
    "loses": "Where averaging loses, previews by simple look worse than joint finetuning is: take kronecker, or anchored, which one "
    "joint run corrects, and let more joint runs say how far to trust them (foretaste compare).",
    "fails": "Where averaging fails, single-task training went too far for any merging: shorten it (finetune.steps), lower its "
    "learning rate (finetune.learning_rate) or hold it near the pretrained model (finetune.prior_precision). Previews made now look far "
    "worse than joint finetuning is.",
}
_RULE = (
    "Rules of thumb from three benchmarks: between tasks that kept 97% of their metrics or more, previews by simple were .01 to .04 "
    "off joint runs, and .04 to .23 where they kept less; less than 50%, or a barrier of 5% of the loss, is a failure. Of metrics where "
    "less is better 85% and 10% are asked."
)


def between(found: Mergeability) -> Group:
    """All of it, for a terminal.

    >>> len(between(Mergeability((), (Corner("simple", {"a": 0.0}, exact=True),))).renderables)
    4
    """
    lines = [Text(paired(pair), _STYLES[pair.verdict]) for pair in found.pairs]
    ends = [Text(cornered(corner), "" if corner.exact else "yellow") for corner in found.corners]
    return Group(Text("Between the tasks' models", "bold"), *lines, *ends, *map(Text, advice(found)), Text(_RULE, "dim"), Text())


def paired(pair: Pair) -> str:
    """A pair in one line: what half-way keeps, whether there is a barrier, and what that means.

    >>> from foretaste.surface.table import Headline
    >>> own, half = {"a": 0.9, "b": 0.8}, {"a": 0.88, "b": 0.79}
    >>> pair = Pair(("a", "b"), (0.0, 0.5, 1.0), (0.5, 0.31, 0.6), own, half, 0.3, {t: Headline("accuracy") for t in "ab"})
    >>> said = paired(pair)
    >>> said.partition("(")[0], said.rpartition(", no")[2]
    ('a, b: averaging is sound; half-way 98.3% of accuracy is kept ', ' barrier (loss 0.500, 0.310, 0.600)')
    """
    barrier = f"barrier {number(pair.barrier)} at {share(pair.peak)} {pair.tasks[1]}" if pair.is_barred else "no barrier"
    losses = ", ".join(number(loss) for loss in (pair.losses[0], pair.half_loss, pair.losses[-1]))
    return f"{', '.join(pair.tasks)}: {_SAID[pair.verdict]}; half-way {_kept(pair)}, {barrier} (loss {losses})"


def _kept(pair: Pair) -> str:
    metrics = " and ".join(dict.fromkeys(head.metric for head in pair.headlines.values()))
    each = ", ".join(f"{number(pair.own[task])} to {number(pair.half[task])}" for task in pair.tasks)
    return f"{metrics} {each}" if pair.kept is None else f"{share(min(pair.kept, 1.0))} of {metrics} is kept ({each})"


def overall(simple: Surface) -> str:
    """All pairs in a sentence; empty where nothing between two tasks was evaluated.

    Args:
        simple: Previews by simple averaging.

    >>> from foretaste.surface.table import Headline
    >>> from foretaste.evaluation import Evaluation, Fidelity
    >>> from foretaste.weights import lattice
    >>> rows = [Evaluation(w, {t: {"loss": 1.0, "accuracy": w[t]} for t in w}, Fidelity.PREVIEW, "simple") for w in lattice("ab", 2)]
    >>> overall(Surface({t: Headline("accuracy") for t in "ab"}, tuple(rows)))
    'Between two tasks, averaging loses for 1 pair of 1. Least is kept half-way from a to b: 50% of accuracy is kept (1.000 to 0.500, ...).'
    """
    pairs = pairs_of(simple)
    if not pairs:
        return ""
    said = [(word, sum(pair.verdict == verdict for pair in pairs)) for verdict, word in _SAID.items()]
    counts = ", ".join(f"{word} for {counted(count, 'pair')}" for word, count in said if count)
    least = min(pairs, key=lambda pair: 1.0 if pair.kept is None else pair.kept)
    return f"Between two tasks, {counts} of {len(pairs)}. Least is kept half-way from {' to '.join(least.tasks)}: {_kept(least)}."


def cornered(corner: Corner) -> str:
    """Whether a method's corners are the single-task models, in one line.

    >>> cornered(Corner("simple", {"a": 0.0}, exact=True))
    'at the corners, previews by simple are the single-task models'
    >>> cornered(Corner("mixture", {"a": 0.0, "b": -0.02}, exact=False))
    'at the corners, previews by mixture are other models than the first single-task runs: a 0.000, b -0.020'
    """
    if corner.exact:
        return f"at the corners, previews by {corner.method} are the single-task models"
    off = ", ".join(f"{task} {signed(value)}" for task, value in corner.off.items())
    return f"at the corners, previews by {corner.method} are other models than the first single-task runs: {off}"


def advice(found: Mergeability) -> list[str]:
    """What to do, as far as it concerns any pair.

    >>> advice(Mergeability((), ()))
    []
    """
    return [_ADVICE[verdict] for verdict in _ADVICE if any(pair.verdict == verdict for pair in found.pairs)]


def mergeability_json(found: Mergeability) -> dict[str, object]:
    """The same, ready for `json.dumps`.

    >>> mergeability_json(Mergeability((), ()))["pairs"]
    []
    """
    pairs = [
        {
            "tasks": pair.tasks,
            "shares": pair.shares,
            "losses": pair.losses,
            "barrier": pair.barrier,
            "peak": pair.peak,
            "own": pair.own,
            "half": pair.half,
            "kept": pair.kept,
            "verdict": pair.verdict,
        }
        for pair in found.pairs
    ]
    return {
        "pairs": plain(pairs),
        "corners": plain([asdict(corner) for corner in found.corners]),
        "advice": advice(found),
        "rule": _RULE,
    }
