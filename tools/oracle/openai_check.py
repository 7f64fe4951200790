#!/usr/bin/env python3
"""Uses a running server through the `openai` package, as programs do; prints what it checked and fails at the first surprise.

    tools/oracle/openai_check.py http://127.0.0.1:1234/v1 MODEL
"""
import sys

import openai


def check(name, holds, found=""):
    if not holds:
        sys.exit(f"{name}: {found!r}")
    print(f"{name}: as expected")


def refused(kind, call):
    try:
        call()
    except kind as error:
        return error
    sys.exit(f"{kind.__name__}: was not raised")


def main(base, model):
    client = openai.OpenAI(base_url=base, api_key="any", max_retries=0, timeout=60)
    ask = {"model": model, "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "the quick brown fox"}]}

    models = client.models.list()
    check("models.list", model in [entry.id for entry in models.data], models)
    check("models.retrieve", client.models.retrieve(model).id == model)

    whole = client.chat.completions.create(**ask, max_tokens=12, temperature=0, seed=7)
    choice = whole.choices[0]
    check("chat", whole.object == "chat.completion" and choice.message.role == "assistant" and isinstance(choice.message.content, str), whole)
    check("chat usage", whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens and whole.usage.completion_tokens <= 12)
    check("chat finish", choice.finish_reason in ("stop", "length"), choice.finish_reason)

    text, usage, reason = "", None, None
    for chunk in client.chat.completions.create(**ask, max_tokens=12, temperature=0, seed=7, stream=True, stream_options={"include_usage": True}):
        for part in chunk.choices:
            text += part.delta.content or ""
            reason = part.finish_reason or reason
        usage = chunk.usage or usage
    check("chat stream", text == choice.message.content, (text, choice.message.content))
    check("chat stream usage", usage is not None and usage.completion_tokens == whole.usage.completion_tokens, usage)
    check("chat stream finish", reason == choice.finish_reason, reason)

    several = client.chat.completions.create(**ask, max_completion_tokens=4, n=3, temperature=1, seed=1, stop=["zzz"], top_p=0.9,
                                             presence_penalty=0.5, frequency_penalty=0.5, logit_bias={"5": -100}, user="somebody")
    check("chat n", [part.index for part in several.choices] == [0, 1, 2], several)

    probable = client.chat.completions.create(**ask, max_tokens=3, temperature=0, logprobs=True, top_logprobs=2)
    content = probable.choices[0].logprobs.content
    check("chat logprobs", all(len(token.top_logprobs) == 2 and token.logprob <= 0 for token in content), content)

    with client.chat.completions.with_streaming_response.create(**ask, max_tokens=4) as response:
        check("raw response", response.status_code == 200 and response.headers.get("x-request-id"), response.headers)

    raw = client.completions.create(model=model, prompt=["the quick", "brown fox"], max_tokens=4, temperature=0, echo=True)
    check("completions", [part.text.startswith(prompt) for part, prompt in zip(raw.choices, ["the quick", "brown fox"])] == [True, True], raw)
    pieces = "".join(part.text for chunk in client.completions.create(model=model, prompt="the quick", max_tokens=4, temperature=0, stream=True)
                     for part in chunk.choices)
    check("completions stream", "the quick" + pieces == raw.choices[0].text, (pieces, raw.choices[0].text))

    error = refused(openai.NotFoundError, lambda: client.chat.completions.create(**{**ask, "model": "nobody"}))
    check("unknown model", error.status_code == 404 and error.code == "model-not-found" and error.param == "model", error.body)
    error = refused(openai.BadRequestError, lambda: client.chat.completions.create(**ask, temperature=9))
    check("bad field", error.code == "invalid-request" and error.param == "temperature" and error.type == "invalid_request_error", error.body)
    error = refused(openai.BadRequestError, lambda: client.chat.completions.create(model=model, messages=[]))
    check("no messages", error.code == "invalid-request", error.body)
    error = refused(openai.NotFoundError, lambda: client.models.retrieve("nobody"))
    check("unknown model in the list", error.code == "model-not-found", error.body)

    # What the model is shown and what is not honoured: tools are offered, a forced choice and a forced form are refused.
    tool = {"type": "function", "function": {"name": "clock", "description": "the time", "parameters": {"type": "object", "properties": {}}}}
    offered = client.chat.completions.create(**ask, max_tokens=4, tools=[tool], tool_choice="auto")
    check("tools", offered.choices[0].finish_reason in ("stop", "length", "tool_calls"), offered)
    parts = client.chat.completions.create(model=model, max_tokens=4, messages=[
        {"role": "user", "content": [{"type": "text", "text": "the quick"}, {"type": "text", "text": "brown fox"}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": {"name": "clock", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "1", "content": "noon"}])
    check("parts and tool messages", parts.choices[0].message.role == "assistant", parts)
    try:
        form = client.chat.completions.create(**ask, max_tokens=64, response_format={"type": "json_object"})
        check("JSON", form.choices[0].message.content is not None, form)
    except openai.BadRequestError as error:
        check("JSON is refused, not ignored", error.param == "response_format", error.body)


if __name__ == "__main__":
    main(*sys.argv[1:3])
