import pytest

from foretaste.errors import DataError
from foretaste.sources.messages import learned_messages, messages_of, tools_of

USER, ANSWER, SYSTEM = (
    {"role": role, "content": text} for role, text in (("user", "good"), ("assistant", "fine"), ("system", "be brief"))
)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("hello", "has str where a list of messages"),
        (["hello"], "has list where a list of messages"),
        (
            [USER, {"role": "robot", "content": "beep"}],
            "has a message of the role 'robot'; roles are system, developer, user, assistant, tool",
        ),
        ([{"content": "good"}], "has a message of the role None"),
        ([USER, {"role": "assistant", "content": None}], "has a message of assistant without text in 'content'"),
        ([USER, {"role": "assistant", "content": " "}], "has a message of assistant without text in 'content'"),
        ([{"role": "user"}, ANSWER], "has a message of user without text"),
        ([USER, {**ANSWER, "tool_calls": [{"id": "f"}]}], "has tool_calls that name no function; write each as"),
        ([USER, {**ANSWER, "tool_calls": ["f"]}], "has tool_calls that name no function"),
        (
            [{**USER, "tool_calls": [{"name": "f"}]}, ANSWER],
            "has a message of user with tool_calls; only the assistant",
        ),
        ([USER, ANSWER, {"role": "tool", "content": None}], "has a message of tool without text in 'content'"),
        (
            [ANSWER, USER, ANSWER],
            "begins with a message of the assistant, which has nothing to answer yet; put one of user or system",
        ),
        ([SYSTEM, USER], "has no message of the assistant, so nothing to learn"),
        ([], "has no message of the assistant"),
    ],
)
def test_messages_that_are_none(value: object, words: str) -> None:
    with pytest.raises(DataError) as caught:
        messages_of(value)
    assert str(caught.value).startswith(words)


def test_only_role_and_content_are_kept() -> None:
    assert messages_of([{**USER, "id": 7, "tool_calls": None}, ANSWER]) == [USER, ANSWER]


@pytest.mark.parametrize(
    ("chat", "message"),
    [
        ([USER, {**ANSWER, "weight": 0.5}], "has a message of the weight 0.5; weights are 0"),
        (
            [USER, {**ANSWER, "weight": 0}],
            "has the weight 0 at every message of the assistant, so nothing to learn; remove the row",
        ),
    ],
)
def test_weights_that_leave_nothing_to_learn(chat: list[dict[str, object]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        learned_messages(chat)


def test_contents_may_be_lists_of_texts() -> None:
    parts = [{"type": "text", "text": "fi"}, {"type": "text", "text": "ne"}]
    assert messages_of([{**USER, "content": parts[:1]}, {**ANSWER, "content": parts}])[-1]["content"] == "fine"
    for part, kind in (
        ({"type": "image_url", "image_url": "a"}, "'image_url'"),
        ("fine", "'str'"),
        ({"type": "text", "text": None}, "'text'"),
    ):
        with pytest.raises(
            DataError,
            match=f"has a message with a part of the type {kind} in its content; only parts of the type 'text'",
        ):
            messages_of([{**USER, "content": [part]}, ANSWER])
    with pytest.raises(DataError, match="without text in 'content'"):
        messages_of([USER, {**ANSWER, "content": []}])


@pytest.mark.parametrize(
    ("calls", "arguments"),
    [
        ([{"type": "function", "id": "1", "function": {"name": "add", "arguments": {"a": 2, "b": None}}}], {"a": 2}),
        ([{"function": {"name": "add", "arguments": '{"a": 2}'}}], {"a": 2}),
        ([{"name": "add", "arguments": "two"}], "two"),
        ('{"name": "add", "arguments": {"a": [1]}}', {"a": [1]}),
        ([{"name": "add"}], {}),
    ],
)
def test_calls_have_one_form(calls: object, arguments: object) -> None:
    message = messages_of([USER, {"role": "assistant", "content": None, "tool_calls": calls}])[-1]
    (call,) = message["tool_calls"]
    assert message["content"] == ""
    assert (call["type"], call["function"]) == ("function", {"name": "add", "arguments": arguments})


def test_results_of_tools_say_which_call_they_answer() -> None:
    result = {"role": "tool", "content": "4", "tool_call_id": "1", "name": "add", "id": 3}
    call = {"role": "assistant", "content": "", "tool_calls": [{"name": "add"}]}
    assert messages_of([USER, call, result])[-1] == {key: result[key] for key in result if key != "id"}


def test_tools_are_lists_or_their_json() -> None:
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
    gaps = {**tool, "function": {**tool["function"], "description": None}}  # type: ignore[dict-item]
    assert tools_of([gaps]) == [tool]
    nothing: tuple[object, ...] = (None, "", " ", [], "[]")
    assert [tools_of(value) for value in nothing] == [None] * 5
    for wrong in ("add", ["add"], {"name": "add"}, 3):
        with pytest.raises(DataError, match="has tools that are not a list of JSON schemas of functions"):
            tools_of(wrong)
