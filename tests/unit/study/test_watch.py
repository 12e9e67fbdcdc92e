"""Progress is shown while a verb is at work, once, and never between verbs."""

from collections.abc import Iterator
from contextlib import contextmanager

from engine_studies import StopAfter
from foretaste.study.watch import VerbWatch
from foretaste.work.context import Watch


def test_verbs_that_call_verbs_share_one_display() -> None:
    opened: list[StopAfter] = []

    @contextmanager
    def display() -> Iterator[Watch]:
        opened.append(StopAfter(5))
        yield opened[-1]

    watch = VerbWatch(display)
    watch.advance(1)
    with watch.at_work():
        with watch.at_work():
            watch.advance(2)
        watch.advance(3)
        assert watch.stopping()
    assert not watch.stopping()
    with watch.at_work():
        watch.begin("a", 1)
        watch.say("b")
    assert [each.count for each in opened] == [5, 0]
