"""A race: the previews that finished, those that stopped early, and how much evaluation that saved."""

from collections.abc import Sequence

from foretaste.document.blocks import Block, Cell, Column, Note, Section, Table, cell_of
from foretaste.document.wording import and_more, counted, number, share, shares, span
from foretaste.surface.race import ERROR
from foretaste.surface.race_result import DroppedCandidate, RaceResult
from foretaste.surface.views import rows_table

__all__ = ["race_sections"]

_LIMIT = 12
_CLOSE = 3


def race_sections(races: Sequence[RaceResult]) -> list[Section]:
    """Make a section of each method's race.

    >>> from foretaste.evaluation import Evaluation, Fidelity
    >>> from foretaste.weights import uniform
    >>> row = Evaluation(uniform("ab"), {t: {"accuracy": 0.9} for t in "ab"}, Fidelity.PREVIEW, "simple")
    >>> [note.text for note in race_sections([RaceResult("simple", (row,), (), row.weights, {}, 10, 40)])[0].blocks[1:]]
    ['Best by simple: a 50%, b 50%.', '10 of 40 evaluations of single examples were needed: 75% were saved.']
    """
    return [Section("", tuple(_blocks(race))) for race in races]


def _blocks(race: RaceResult) -> list[Block]:
    blocks: list[Block] = [
        rows_table(race.rows, hint="`foretaste show STUDY` sorts them, --json and .to_pandas() have all")
    ]
    if race.dropped:
        blocks.append(_stopped_table(race.dropped))
    blocks.append(Note(f"Best by {race.method}: {shares(race.best)}.{_close_calls(race)}"))
    if race.reason:
        blocks.append(
            Note(
                f"Every weighting was evaluated in full, because racing is not possible here: {race.reason}.",
                tone="warning",
            )
        )
    else:
        saved = share(1 - race.evaluated / race.whole)
        blocks.append(
            Note(
                f"{race.evaluated:,} of {race.whole:,} evaluations of single examples were needed: {saved} were saved."
            )
        )
    if race.dropped:
        blocks.append(
            Note(f"The probability that the best weighting on all examples was stopped is at most {ERROR:.0%}.")
        )
    return blocks


def _stopped_table(dropped: Sequence[DroppedCandidate]) -> Table:
    names = ("weights", "examples", "value", "behind the leader")
    more = and_more(len(dropped), _LIMIT, "--json has all")
    return Table(
        tuple(map(Column, names)),
        tuple(map(_stopped_row, dropped[:_LIMIT])),
        title="Stopped early: almost certainly not the best",
        caption=f"… {more}" if more else "",
    )


def _stopped_row(one: DroppedCandidate) -> tuple[Cell, ...]:
    behind = "misses the floors" if one.missing else f"{number(one.gap.behind)} ({span(one.gap.low, one.gap.high)})"
    weights = " ".join(share(weight) for weight in one.weights.values())
    return tuple(map(cell_of, (weights, str(one.examples), number(one.value), behind)))


def _close_calls(race: RaceResult) -> str:
    others = race.undecided
    if not others:
        return ""
    more = and_more(len(others), _CLOSE)
    names = "; ".join(shares(weights) for weights in others[:_CLOSE]) + (f" {more}" if more else "")
    return (
        f" {counted(len(others), 'other')} {'is' if len(others) == 1 else 'are'} too close to call on these examples:"
        f" {names}."
    )
