from dataclasses import replace

from foretaste.sources.finetune_plan import TaskFinetune
from foretaste.work.context import Context, Origin, Unwatched
from foretaste.workflow.session import Session


def test_a_slot_remembers_its_last_value(session: Session) -> None:
    built: list[int] = []

    def value_of(number: int) -> int:
        def build() -> int:
            built.append(number)
            return number

        return session.remember("a", number, build)

    assert [value_of(number) for number in (1, 1, 2, 1)] == [1, 1, 2, 1]
    assert built == [1, 2, 1]
    assert session.key_in("a") == 1
    assert session.key_in("b") is None


def test_a_slot_is_empty_while_its_next_value_is_built(session: Session) -> None:
    session.remember("a", 1, lambda: "first")
    assert session.remember("a", 2, lambda: session.key_in("a")) is None


def test_slots_do_not_share_values(session: Session) -> None:
    assert [session.remember("a", 1, lambda: "a"), session.remember("b", 1, lambda: "b")] == ["a", "b"]
    assert session.remember("a", 1, lambda: "other") == "a"


def test_a_changed_context_begins_with_an_empty_memory(session: Session) -> None:
    session.remember("a", 1, lambda: "first")
    assert replace(session, base="another").key_in("a") is None


def test_a_task_is_found_by_its_name(session: Session) -> None:
    assert session.task("mid") is session.problem.tasks[1]
    assert session.data == {task.name: task.identity for task in session.problem.tasks}


def test_a_context_knows_how_its_tasks_are_trained(session: Session) -> None:
    own = session.recipe.finetune.model_copy(update={"tasks": {"low": TaskFinetune(steps=9)}})
    other = replace(session, recipe=session.recipe.model_copy(update={"finetune": own}))
    assert other.training_of("low") == replace(session.training_of("low"), steps=9)
    assert other.training_of("mid") == session.training_of("mid") == session.joint_training == other.joint_training


def test_contexts_and_origins_are_shown_in_one_line(session: Session) -> None:
    context = Context(
        session.study, session.recipe, session.problem, session.base, origin=Origin("name: a\nmodel: b\n", "a.yaml")
    )
    assert "\n" not in repr(context)
    assert "\n" not in repr(context.origin)


def test_an_unwatched_piece_never_stops() -> None:
    watch = Unwatched()
    watch.begin("stage", 3)
    watch.advance(1, "note")
    watch.say("text")
    assert not watch.stopping()
