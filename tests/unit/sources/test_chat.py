import pytest
import transformers

from checkpoints import CHAT_TEMPLATE, Checkpoints
from foretaste.errors import DataError
from foretaste.sources.chat import Messages, chat_template, mark_answers, reads_tools, segments, suit_template
from foretaste.sources.messages import learned_messages, messages_of
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


@pytest.mark.parametrize("weights", [[0, 1], [1, 0], [None, 0], [1, 1], [0.0, 1.0]])
@pytest.mark.parametrize("template", [CHAT_TEMPLATE, MARKED])
def test_answers_of_weight_0_are_not_learned(
    tokenizer: transformers.PreTrainedTokenizerBase, weights: list[float | None], template: str
) -> None:
    """Right are the texts of the answers that count, found by decoding what is learned."""
    tokenizer.chat_template = template
    answers: list[dict[str, object]] = [
        {**ANSWER, "content": text, "weight": weight} for text, weight in zip(("fine", "dull"), weights, strict=True)
    ]
    chat: list[dict[str, object]] = [{**USER}, answers[0], {**USER, "weight": 0}, answers[1]]
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


def test_answers_that_the_template_marks_as_one_cannot_be_told_apart(
    tokenizer: transformers.PreTrainedTokenizerBase,
) -> None:
    tokenizer.chat_template = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"
    with pytest.raises(DataError, match="has 2 messages of the assistant, of which the chat template marks 1 apart"):
        mark_answers(tokenizer, [USER, ANSWER, ANSWER], [False, True, False])


TOOLS = (
    "{% if tools %}[tools]{{ tools | tojson }}{% endif %}{% for m in messages %}[{{ m.role }}]{{ m.content }}"
    "{% for call in m.tool_calls or [] %}<call>{{ call.function.name }} ARGUMENTS</call>{% endfor %}"
    "{{ eos_token }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
)
MAPPINGS = TOOLS.replace("ARGUMENTS", "{{ call.function.arguments.items() | list | tojson }}")
TEXTS = TOOLS.replace("ARGUMENTS", "{{ '' + call.function.arguments }}")
CALL = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "add", "arguments": '{"a": 2}'}}]}
RESULT = {"role": "tool", "content": "4", "tool_call_id": "1"}


@pytest.mark.parametrize(("template", "words"), [(MAPPINGS, 'add [["a", 2]]'), (TEXTS, 'add {"a": 2}')])
def test_calls_of_tools_are_learned_as_the_template_writes_them(
    tokenizer: transformers.PreTrainedTokenizerBase, template: str, words: str
) -> None:
    tokenizer.chat_template = template
    tools = [{"type": "function", "function": {"name": "add"}}]
    messages, moved = suit_template(tokenizer, messages_of([USER, CALL, RESULT, ANSWER]), tools)
    assert not moved
    parts = segments(tokenizer, messages, None, tools)
    assert [text for text, counts in parts if counts] == [f"<call>{words}</call></s>", "fine</s>"]
    assert parts[0][0].startswith('[tools][{"type": "function", "function": {"name": "add"}}][user]good')
    assert "[tool]4" in parts[2][0]


def test_calls_that_the_template_leaves_out_are_refused(tokenizer: transformers.PreTrainedTokenizerBase) -> None:
    with pytest.raises(DataError, match="has tool_calls, which the chat template leaves out; use a template"):
        suit_template(tokenizer, messages_of([USER, CALL, RESULT, ANSWER]))


ROLES = (
    "{{% for m in messages %}}{{% if m.role in {known} %}}[{{{{ m.role }}}}]{{{{ m.content }}}}{other}{{% endfor %}}"
)
REFUSES = "{% else %}{{ raise_exception('no such role') }}{% endif %}"


@pytest.mark.parametrize(
    ("known", "other", "role"),
    [
        (("developer", "user", "assistant"), REFUSES, "developer"),
        (("system", "user", "assistant"), REFUSES, "system"),
        (("system", "user", "assistant"), "{% endif %}", "system"),
    ],
)
def test_the_developer_is_the_system_where_the_template_knows_no_developer(
    tokenizer: transformers.PreTrainedTokenizerBase, known: tuple[str, ...], other: str, role: str
) -> None:
    tokenizer.chat_template = ROLES.format(known=list(known), other=other)
    messages, moved = suit_template(tokenizer, [{"role": "developer", "content": " be brief "}, USER, ANSWER])
    assert [message["role"] for message in messages] == [role, "user", "assistant"]
    assert moved is (role == "system")


@pytest.mark.parametrize(
    ("other", "words"),
    [(REFUSES, "is refused by the chat template: no such role"), ("{% endif %}", "and 'system' too; make it part")],
)
def test_a_template_without_system_refuses_the_developer(
    tokenizer: transformers.PreTrainedTokenizerBase, other: str, words: str
) -> None:
    tokenizer.chat_template = ROLES.format(known=["user", "assistant"], other=other)
    with pytest.raises(DataError, match=words):
        suit_template(tokenizer, [{"role": "developer", "content": "be brief"}, USER, ANSWER])


def test_other_chats_stay_as_they_are(tokenizer: transformers.PreTrainedTokenizerBase) -> None:
    chat = [SYSTEM, USER, ANSWER]
    assert suit_template(tokenizer, chat) == (chat, False)
    assert reads_tools(MAPPINGS)
    assert not reads_tools(CHAT_TEMPLATE)
