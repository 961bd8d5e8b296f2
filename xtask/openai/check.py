"""The double of OpenAI's API, driven by OpenAI's own client: what the double answers is what the client expects.

Called with the path of the double's program; ends with the first thing that is not as it should be.
"""

import json
import subprocess
import sys

import openai
from openai import OpenAI

KEY = "sk-of-the-check"
HI = [{"role": "user", "content": "Which team?"}]
SCHEMA = {
    "type": "object",
    "properties": {"team": {"type": "string"}},
    "required": ["team"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "look_up", "description": "Looks.", "parameters": SCHEMA}}


class Double:
    """The double as a process, and clients of it."""

    def __init__(self, program):
        self.process = subprocess.Popen([program, KEY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()
        self.client = self.client_with()

    def client_with(self, **options):
        options = {"api_key": KEY, "max_retries": 0, "timeout": 20, **options}
        return OpenAI(base_url=self.url, **options)

    def will(self, reply, **fields):
        self.process.stdin.write(json.dumps({"reply": reply, **fields}) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "ok\n", "the double does not take the reply"

    def chat(self, **options):
        return self.client.chat.completions.create(**{"model": "small", "messages": HI, **options})

    def stream(self, **options):
        return list(self.chat(stream=True, stream_options={"include_usage": True}, **options))

    def end(self):
        self.process.stdin.close()
        assert self.process.wait(20) == 0, "the double ended with a failure"


def fails(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def models(double):
    listed = [model.id for model in double.client.models.list()]
    assert listed == ["small", "large", "embed"], listed


def plain(double):
    double.will("text", text="Billing, ünï🦀.")
    answer = double.chat()
    assert answer.object == "chat.completion" and answer.model.startswith("small"), answer
    (choice,) = answer.choices
    assert (choice.message.content, choice.finish_reason, choice.message.refusal) == ("Billing, ünï🦀.", "stop", None)
    usage = answer.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens > 0, usage
    assert usage.prompt_tokens_details.cached_tokens == 2, usage


def streamed(double):
    double.will("text", text="one two three")
    chunks = double.stream()
    assert all(chunk.object == "chat.completion.chunk" for chunk in chunks)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "one two three", text
    assert len(chunks) > 4, "the answer comes in pieces"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens > 0, chunks[-1]
    double.will("text", text="one")
    assert all(chunk.usage is None for chunk in double.chat(stream=True)), "no usage where none is asked for"


def accumulated(double):
    """The client's own accumulation of a stream, which is strict about pieces of tools."""
    double.will("tools", text="I look.", calls=[
        {"name": "look_up", "arguments": '{"team": "billing"}'},
        {"name": "no_such_tool", "arguments": "{}"},
    ])
    with double.client.chat.completions.stream(model="small", messages=HI, tools=[TOOL]) as stream:
        message = stream.get_final_completion().choices[0].message
    calls = [(call.function.name, call.function.arguments) for call in message.tool_calls]
    assert calls == [("look_up", '{"team": "billing"}'), ("no_such_tool", "{}")], calls
    assert message.content == "I look.", message


def tools(double):
    double.will("tools", calls=[{"name": "look_up", "arguments": '{"team": "billing"}'}])
    choice = double.chat(tools=[TOOL]).choices[0]
    assert choice.finish_reason == "tool_calls" and choice.message.content is None, choice
    (call,) = choice.message.tool_calls
    double.will("text", text="Done.")
    turn = [choice.message, {"role": "tool", "tool_call_id": call.id, "content": "x"}]
    assert double.chat(messages=[*HI, *turn], tools=[TOOL]).choices[0].message.content == "Done."
    wrong = [choice.message, {"role": "tool", "tool_call_id": "other", "content": "x"}]
    fails(openai.BadRequestError, lambda: double.chat(messages=[*HI, *wrong], tools=[TOOL]))


def schemas(double):
    form = {"type": "json_schema", "json_schema": {"name": "choice", "strict": True, "schema": SCHEMA}}
    double.will("text", text='{"team": "billing"}')
    assert json.loads(double.chat(response_format=form).choices[0].message.content) == {"team": "billing"}
    open_schema = {key: value for key, value in SCHEMA.items() if key != "additionalProperties"}
    form["json_schema"]["schema"] = open_schema
    fails(openai.BadRequestError, lambda: double.chat(response_format=form))


def stops(double):
    double.will("length", text="cut")
    assert double.chat(max_tokens=1).choices[0].finish_reason == "length"
    double.will("filtered", text="Well")
    assert double.chat().choices[0].finish_reason == "content_filter"
    double.will("refusal", text="I will not.")
    message = double.chat().choices[0].message
    assert (message.refusal, message.content) == ("I will not.", None), message
    double.will("refusal", text="I will not.")
    refusal = "".join(chunk.choices[0].delta.refusal or "" for chunk in double.stream() if chunk.choices)
    assert refusal == "I will not.", refusal


def embeddings(double):
    # The client asks for base64 by itself, and reads numbers out of it.
    texts = ["one", "two", "one"]
    answer = double.client.embeddings.create(model="embed", input=texts)
    one, two, again = [entry.embedding for entry in answer.data]
    assert one == again != two and len(one) == 8, answer
    assert abs(sum(number * number for number in one) - 1) < 1e-5, one
    floats = double.client.embeddings.create(model="embed", input="one", encoding_format="float", dimensions=8)
    close = [abs(a - b) < 1e-6 for a, b in zip(floats.data[0].embedding, one)]
    assert all(close) and answer.usage.prompt_tokens > 0, floats
    fails(openai.BadRequestError, lambda: double.client.embeddings.create(model="embed", input=[]))


def faults(double):
    for status, kind in [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
        (529, openai.InternalServerError),
    ]:
        for ask in [double.chat, double.stream]:
            double.will("status", status=status, code="some_code", message="no", retry_after="7")
            error = fails(kind, ask)
            assert (error.status_code, error.code) == (status, "some_code"), error
            assert error.response.headers["retry-after"] == "7"
    # The client comes back by itself after the time that it is told.
    double.will("status", status=429, retry_after="0")
    double.will("text", text="Back.")
    patient = double.client_with(max_retries=1)
    assert patient.chat.completions.create(model="small", messages=HI).choices[0].message.content == "Back."
    double.will("raw", body="{")
    fails(json.JSONDecodeError, double.chat)
    double.will("raw", body="{")
    fails(json.JSONDecodeError, double.stream)
    double.will("error_inside", text="one", code="server_error")
    fails(openai.APIError, double.stream)
    double.will("slow", millis=50, then={"reply": "text", "text": "At last."})
    assert double.chat().choices[0].message.content == "At last."
    impatient = double.client_with(timeout=0.3)
    double.will("hang", text="one")
    fails(openai.APITimeoutError, lambda: impatient.chat.completions.create(model="small", messages=HI))
    for ask in [double.chat, double.stream]:
        double.will("cut", text="one two three")
        fails(openai.APIConnectionError, ask)
    double.will("endless")
    endless = double.chat(stream=True)
    assert len([next(endless) for _ in range(1000)]) == 1000
    endless.close()


def refused(double):
    wrong = double.client_with(api_key="wrong")
    error = fails(openai.AuthenticationError, lambda: list(wrong.models.list()))
    assert error.code == "invalid_api_key", error
    fails(openai.NotFoundError, lambda: double.chat(model="no-such-model"))
    fails(openai.BadRequestError, lambda: double.chat(messages=[]))
    fails(openai.BadRequestError, lambda: double.chat(max_tokens=5, max_completion_tokens=5))
    fails(openai.BadRequestError, lambda: double.chat(temperature=3))


def main():
    double = Double(sys.argv[1])
    checks = [models, plain, streamed, accumulated, tools, schemas, stops, embeddings, faults, refused]
    for check in checks:
        try:
            check(double)
        except BaseException:
            print(f"openai {openai.__version__} and the double differ in `{check.__name__}`", file=sys.stderr)
            double.process.kill()
            raise
    double.end()
    print(f"openai {openai.__version__} and the double agree in {len(checks)} checks")


main()
