import pytest
import transformers

from checkpoints import CHAT_TEMPLATE, Checkpoints
from foretaste.errors import DataError
from foretaste.sources.chat import Messages, chat_template, learned_messages, mark_answers, messages_of, segments
from foretaste.sources.pretrained import tokenizer_at

USER, ANSWER, SYSTEM = (
    {"role": role, "content": text} for role, text in (("user", "good"), ("assistant", "fine"), ("system", "be brief"))
)
MARKED = (
    "{% for m in messages %}[{{ m.role }}]{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content }}{{ eos_token }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}"
)
FORGETFUL = (
    "{% for m in messages %}[{{ m.role }}]{{ m.content if loop.last else '...' }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
STRICT = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system here') }}{% endif %}{{ m.content"
    " }}{% endfor %}"
)


@pytest.fixture
def tokenizer(checkpoints: Checkpoints) -> transformers.PreTrainedTokenizerBase:
    return tokenizer_at(str(checkpoints.llama))


def test_answers_stand_apart_with_what_ends_them(tokenizer: transformers.PreTrainedTokenizerBase) -> None:
    chat = [SYSTEM, USER, ANSWER, USER, ANSWER, USER]
    assert segments(tokenizer, chat) == [
        ("<s>[system]be brief</s>\n[user]good</s>\n[assistant]", False),
        ("fine</s>\n", True),
        ("[user]good</s>\n[assistant]", False),
        ("fine</s>\n", True),
    ]


@pytest.mark.parametrize(
    "chat", [[USER, ANSWER], [SYSTEM, USER, ANSWER], [USER, ANSWER] * 3, [USER, USER, ANSWER, ANSWER, USER]]
)
def test_segments_are_the_template_s_text_up_to_the_last_answer(
    tokenizer: transformers.PreTrainedTokenizerBase, chat: Messages
) -> None:
    found, last = (
        segments(tokenizer, chat),
        max(place for place, message in enumerate(chat) if message["role"] == "assistant"),
    )
    assert "".join(text for text, _ in found) == tokenizer.apply_chat_template(chat[: last + 1], tokenize=False)
    assert sum(counts for _, counts in found) == sum(message["role"] == "assistant" for message in chat)


@pytest.mark.parametrize("template", [FORGETFUL, CHAT_TEMPLATE.replace("[assistant]", "(assistant)")])
def test_a_template_that_rewrites_earlier_turns_is_refused(
    tokenizer: transformers.PreTrainedTokenizerBase, template: str
) -> None:
    tokenizer.chat_template = template
    with pytest.raises(
        DataError,
        match=r"what it writes up to an answer is not how the whole chat begins; mark the answers in the template",
    ):
        segments(tokenizer, [USER, ANSWER, USER, ANSWER])


def test_answers_that_the_template_marks(tokenizer: transformers.PreTrainedTokenizerBase) -> None:
    assert mark_answers(tokenizer, [USER, ANSWER]) is None
    tokenizer.chat_template = MARKED
    found = mark_answers(tokenizer, [USER, ANSWER, USER, ANSWER])
    assert found is not None
    ids, learned = found
    assert tokenizer.decode([each for each, counts in zip(ids, learned, strict=True) if counts]) == "fine</s>fine</s>"
    assert tokenizer.decode(ids) == "[user]good[assistant]fine</s>" * 2


@pytest.mark.parametrize("template", [STRICT, MARKED.replace("{{ m.content }}{{", "{{ 1 / 0 }}{{")])
def test_what_the_template_refuses_is_said(tokenizer: transformers.PreTrainedTokenizerBase, template: str) -> None:
    tokenizer.chat_template = template
    with pytest.raises(DataError, match=r"is refused by the chat template: (no system here|division by zero)"):
        mark_answers(tokenizer, [SYSTEM, USER, ANSWER]) or segments(tokenizer, [SYSTEM, USER, ANSWER])


def test_a_tokenizer_without_a_template(
    checkpoints: Checkpoints, tokenizer: transformers.PreTrainedTokenizerBase
) -> None:
    assert chat_template(tokenizer) == CHAT_TEMPLATE
    with pytest.raises(
        DataError, match=r"no chat template; put one in the checkpoint's chat_template\.jinja, or give .* 'completion'"
    ):
        chat_template(tokenizer_at(str(checkpoints.gpt2)))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("hello", "has str where a list of messages"),
        (["hello"], "has list where a list of messages"),
        (
            [USER, {"role": "robot", "content": "beep"}],
            "has a message of the role 'robot'; roles are system, user, assistant",
        ),
        ([{"content": "good"}], "has a message of the role None"),
        ([USER, {"role": "assistant", "content": None}], "has a message of assistant without text in 'content'"),
        ([USER, {"role": "assistant", "content": " "}], "has a message of assistant without text in 'content'"),
        ([{"role": "user"}, ANSWER], "has a message of user without text"),
        ([USER, {**ANSWER, "tool_calls": [{"name": "f"}]}], "has a message with tool_calls, which are not supported"),
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


@pytest.mark.parametrize("weights", [[0, 1], [1, 0], [None, 0], [1, 1], [0.0, 1.0]])
@pytest.mark.parametrize("template", [CHAT_TEMPLATE, MARKED])
def test_answers_of_weight_0_are_not_learned(
    tokenizer: transformers.PreTrainedTokenizerBase, weights: list[float | None], template: str
) -> None:
    """Right are the texts of the answers that count, found by decoding what is learned."""
    tokenizer.chat_template = template
    answers = [
        {**ANSWER, "content": text, "weight": weight} for text, weight in zip(("fine", "dull"), weights, strict=True)
    ]
    chat = [USER, answers[0], {**USER, "weight": 0}, answers[1]]
    learned = learned_messages(chat)
    plain = messages_of(chat)
    assert learned == [False, weights[0] != 0, False, weights[1] != 0]
    found = mark_answers(tokenizer, plain, learned)
    if found is None:
        texts = [text for text, counts in segments(tokenizer, plain, learned) if counts]
    else:
        texts = [tokenizer.decode([token for token, counts in zip(*found, strict=True) if counts])]
    for text, weight in zip(("fine", "dull"), weights, strict=True):
        assert (text in "".join(texts)) is (weight != 0)
    assert "good" not in "".join(texts)


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


def test_answers_that_the_template_marks_as_one_cannot_be_told_apart(
    tokenizer: transformers.PreTrainedTokenizerBase,
) -> None:
    tokenizer.chat_template = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"
    with pytest.raises(DataError, match="has 2 messages of the assistant, of which the chat template marks 1 apart"):
        mark_answers(tokenizer, [USER, ANSWER, ANSWER], [False, True, False])


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
