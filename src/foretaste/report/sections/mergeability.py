"""Whether the tasks' models can be merged: a line for each two tasks, one for each method's corners, and what to do."""

from collections.abc import Mapping

from foretaste.document.blocks import Note, Section, Tone
from foretaste.document.wording import capitalized, counted, joined, number, share, signed
from foretaste.surface.mergeability import Corner, Mergeability, Pair, Verdict, pairs_of
from foretaste.surface.table import Surface

__all__ = ["RULE", "advise", "describe_corner", "describe_pair", "describe_pairs", "mergeability_section"]

_TONES: Mapping[Verdict, Tone] = {"sound": "good", "loses": "warning", "fails": "bad"}
_VERDICTS: Mapping[Verdict, str] = {"sound": "averaging works", "loses": "averaging loses", "fails": "averaging fails"}
_ADVICE: Mapping[Verdict, str] = {
    "sound": "Where averaging works, simple previews are close to joint finetuning and other methods add little.",
    "loses": (
        "Where averaging loses, simple previews look worse than joint finetuning will be. Use kronecker, or anchored,"
        " which corrects previews by one joint run, and let a few joint runs show how far to trust them (foretaste"
        " compare)."
    ),
    "fails": (
        "Where averaging fails, single-task training went too far for any merging. Shorten it (finetune.steps), lower"
        " its learning rate (finetune.learning_rate) or keep it closer to the pretrained model"
        " (finetune.prior_precision). Until then previews look far worse than joint finetuning will be."
    ),
}
RULE = (
    "Rules of thumb from three benchmarks: where two tasks kept 97% or more of their metrics, simple previews were .01"
    " to .04 away from joint runs; where they kept less, .04 to .23. Keeping less than 50%, or a loss barrier above 5%,"
    " counts as failure. For metrics where less is better, the bounds are 85% and 10%."
)


def mergeability_section(mergeability: Mergeability) -> Section:
    """Describe every pair of tasks and the methods' corners, and give advice.

    >>> section = mergeability_section(Mergeability((), (Corner("simple", {"a": 0.0}, exact=True),)))
    >>> [note.text for note in section.blocks][0]
    'At the corners, previews by simple are the single-task models.'
    """
    pairs = [Note(describe_pair(pair), tone=_TONES[pair.verdict]) for pair in mergeability.pairs]
    corners = [Note(describe_corner(corner), tone="" if corner.exact else "warning") for corner in mergeability.corners]
    return Section(
        "Between the tasks' models", (*pairs, *corners, *map(Note, advise(mergeability)), Note(RULE, tone="quiet"))
    )


def describe_pair(pair: Pair) -> str:
    """Describe a pair in one line: what half of each keeps, whether there is a loss barrier, and what that means.

    >>> from foretaste.surface.table import Headline
    >>> own, half = {"a": 0.9, "b": 0.8}, {"a": 0.88, "b": 0.79}
    >>> pair = Pair(
    ...     ("a", "b"), (0.0, 0.5, 1.0), (0.5, 0.31, 0.6), own, half, 0.3, {t: Headline("accuracy") for t in "ab"}
    ... )
    >>> line = describe_pair(pair)
    >>> line.partition(" (")[0], line.rpartition("; ")[2]
    ('a, b: averaging works. Halfway, merging keeps 98.3% of their accuracy', 'no loss barrier (loss 0.500, 0.310,
    0.600).')
    """
    barrier = (
        f"loss barrier {number(pair.barrier)} at {share(pair.peak)} {pair.tasks[1]}"
        if pair.is_barred
        else "no loss barrier"
    )
    losses = ", ".join(number(loss) for loss in (pair.losses[0], pair.half_loss, pair.losses[-1]))
    return (
        f"{', '.join(pair.tasks)}: {_VERDICTS[pair.verdict]}. Halfway, merging {_describe_halfway(pair)}; {barrier}"
        f" (loss {losses})."
    )


def _describe_halfway(pair: Pair) -> str:
    """Describe what equal parts of both models keep of each model's own metric."""
    metrics = joined(list(dict.fromkeys(head.metric for head in pair.headlines.values())))
    changes = ", ".join(f"{task} {number(pair.own[task])} to {number(pair.half[task])}" for task in pair.tasks)
    if pair.kept is None:
        return f"changes their {metrics} ({changes})"
    return f"keeps {share(min(pair.kept, 1.0))} of their {metrics} ({changes})"


def describe_pairs(simple: Surface) -> str:
    """Describe all pairs in a sentence or two; empty where nothing between two tasks was evaluated.

    Args:
        simple: Previews by simple averaging.

    >>> from foretaste.surface.table import Headline
    >>> from foretaste.evaluation import Evaluation, Fidelity
    >>> from foretaste.simplex import lattice
    >>> rows = [
    ...     Evaluation(w, {t: {"loss": 1.0, "accuracy": w[t]} for t in w}, Fidelity.PREVIEW, "simple")
    ...     for w in lattice("ab", 2)
    ... ]
    >>> describe_pairs(Surface({t: Headline("accuracy") for t in "ab"}, tuple(rows)))
    'Averaging loses for 1 pair of tasks. Worst pair: halfway between a and b, merging keeps 50% of their accuracy (a
    1.000 to 0.500, ...).'
    """
    pairs = pairs_of(simple)
    if not pairs:
        return ""
    counts = [(words, sum(pair.verdict == verdict for pair in pairs)) for verdict, words in _VERDICTS.items()]
    verdicts = joined([f"{words} for {counted(count, 'pair')}" for words, count in counts if count])
    worst = min(pairs, key=lambda pair: 1.0 if pair.kept is None else pair.kept)
    return (
        f"{capitalized(verdicts)} of tasks. Worst pair: halfway between {joined(worst.tasks)}, merging"
        f" {_describe_halfway(worst)}."
    )


def describe_corner(corner: Corner) -> str:
    """Say in one line whether a method's corners are the single-task models.

    >>> describe_corner(Corner("simple", {"a": 0.0}, exact=True))
    'At the corners, previews by simple are the single-task models.'
    >>> describe_corner(Corner("mixture", {"a": 0.0, "b": -0.02}, exact=False))
    'At the corners, previews by mixture are not the first single-task models; they differ by a 0.000, b -0.020.'
    """
    if corner.exact:
        return f"At the corners, previews by {corner.method} are the single-task models."
    off = ", ".join(f"{task} {signed(value)}" for task, value in corner.off.items())
    return f"At the corners, previews by {corner.method} are not the first single-task models; they differ by {off}."


def advise(mergeability: Mergeability) -> list[str]:
    """Give the advice that concerns any of the pairs.

    >>> advise(Mergeability((), ()))
    []
    """
    return [
        advice for verdict, advice in _ADVICE.items() if any(pair.verdict == verdict for pair in mergeability.pairs)
    ]
