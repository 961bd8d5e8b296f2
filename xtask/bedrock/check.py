"""The double of Amazon Bedrock, driven by AWS's own client: what the double answers is what the client expects.

Called with the path of the double's program; ends with the first thing that is not as it should be. In the end, each request that
the double got is held against AWS's own model of the service.
"""

import json
import subprocess
import sys

import boto3
import botocore
from botocore import UNSIGNED
from botocore.config import Config
from botocore.eventstream import ChecksumMismatch
from botocore.exceptions import ClientError, EventStreamError, HTTPClientError, ParamValidationError
from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.exceptions import ReadTimeoutError, ResponseStreamingError
from botocore.validate import ParamValidator
from urllib3.exceptions import ProtocolError

KEY = "AKIDOFTHECHECK"
NOVA = "amazon.nova-lite-v1:0"
PROFILE = "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.amazon.nova-lite-v1:0"
GUARDRAIL = {"guardrailIdentifier": "gr4a7b1c9d2e", "guardrailVersion": "1"}
HI = [{"role": "user", "content": [{"text": "Which team?"}]}]
SCHEMA = {"type": "object", "properties": {"team": {"type": "string"}}, "required": ["team"]}


def tool(name):
    return {"toolSpec": {"name": name, "description": "Looks.", "inputSchema": {"json": SCHEMA}}}


TOOLS = {"tools": [tool("look_up"), tool("answer")]}


class Double:
    """The double as a process, and clients of it."""

    def __init__(self, program):
        self.process = subprocess.Popen([program, KEY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()
        self.client = self.client_with()

    def client_with(self, key=KEY, **options):
        options = {"retries": {"total_max_attempts": 1}, "read_timeout": 20, **options}
        return boto3.client(
            "bedrock-runtime",
            endpoint_url=self.url,
            region_name="eu-central-1",
            aws_access_key_id=key,
            aws_secret_access_key="secret-of-the-check",
            config=Config(**options),
        )

    def say(self, line):
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()

    def will(self, reply, **fields):
        assert self.say({"reply": reply, **fields}) == "ok\n", "the double does not take the reply"

    def asked(self):
        return json.loads(self.say({"asked": 0}))

    def chat(self, **options):
        return self.client.converse(**{"modelId": NOVA, "messages": HI, **options})

    def stream(self, **options):
        return list(self.client.converse_stream(**{"modelId": NOVA, "messages": HI, **options})["stream"])

    def embed(self, model, **body):
        answer = self.client.invoke_model(modelId=model, body=json.dumps(body))
        assert int(answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-bedrock-input-token-count"]) > 0
        return json.loads(answer["body"].read())

    def end(self):
        self.process.stdin.close()
        assert self.process.wait(20) == 0, "the double ended with a failure"


def fails(kind, call, code=None):
    try:
        call()
    except kind as error:
        assert code is None or error.response["Error"]["Code"] == code, error
        return error
    raise AssertionError(f"no {kind.__name__}")


def words(answer):
    return "".join(block.get("text", "") for block in answer["output"]["message"]["content"])


def plain(double):
    for model in [NOVA, PROFILE]:
        double.will("text", text="Billing, ünï🦀.")
        system = [{"text": "You are a clerk."}]
        answer = double.chat(modelId=model, system=system, inferenceConfig={"maxTokens": 50, "temperature": 0.5})
        assert (words(answer), answer["stopReason"]) == ("Billing, ünï🦀.", "end_turn"), answer
        usage = answer["usage"]
        parts = usage["inputTokens"] + usage["cacheReadInputTokens"] + usage["outputTokens"]
        assert usage["totalTokens"] == parts > 0 and usage["cacheReadInputTokens"] == 2, usage
        assert answer["metrics"]["latencyMs"] > 0, answer


def streamed(double):
    double.will("text", text="one two three")
    events = double.stream()
    kinds = [next(iter(event)) for event in events]
    assert kinds == ["messageStart", *["contentBlockDelta"] * 3, "contentBlockStop", "messageStop", "metadata"], kinds
    deltas = [event["contentBlockDelta"]["delta"]["text"] for event in events if "contentBlockDelta" in event]
    assert "".join(deltas) == "one two three", deltas
    assert events[-2]["messageStop"]["stopReason"] == "end_turn"
    assert events[-1]["metadata"]["usage"]["outputTokens"] > 0


def tools(double):
    calls = [
        {"name": "look_up", "arguments": '{"team": "billing"}'},
        {"name": "no_such_tool", "arguments": "{}"},
    ]
    double.will("tools", text="I look.", calls=calls)
    answer = double.chat(toolConfig=TOOLS)
    message = answer["output"]["message"]
    uses = [block["toolUse"] for block in message["content"] if "toolUse" in block]
    assert answer["stopReason"] == "tool_use" and words(answer) == "I look.", answer
    assert [(use["name"], use["input"]) for use in uses] == [("look_up", {"team": "billing"}), ("no_such_tool", {})], uses
    double.will("text", text="Done.")
    given = [{"toolResult": {"toolUseId": use["toolUseId"], "content": [{"text": "x"}]}} for use in uses]
    turn = [*HI, message, {"role": "user", "content": given}]
    assert words(double.chat(messages=turn, toolConfig=TOOLS)) == "Done."
    for wrong in [
        {"messages": turn},
        {"messages": [*HI, message, {"role": "user", "content": given[:1]}], "toolConfig": TOOLS},
        {"messages": [*HI, message, *HI], "toolConfig": TOOLS},
        {"messages": [*HI, message], "toolConfig": TOOLS},
    ]:
        fails(ClientError, lambda wrong=wrong: double.chat(**wrong), "ValidationException")
    double.will("tools", calls=calls)
    events = double.stream(toolConfig=TOOLS)
    starts = [event["contentBlockStart"]["start"]["toolUse"]["name"] for event in events if "contentBlockStart" in event]
    pieces = [event["contentBlockDelta"] for event in events if "contentBlockDelta" in event]
    first = "".join(piece["delta"]["toolUse"]["input"] for piece in pieces if piece["contentBlockIndex"] == 0)
    assert starts == ["look_up", "no_such_tool"] and json.loads(first) == {"team": "billing"} and len(pieces) > 3, events
    double.will("tools", calls=[{"name": "look_up", "arguments": '{"team": '}])
    broken = [event["contentBlockDelta"] for event in double.stream(toolConfig=TOOLS) if "contentBlockDelta" in event]
    assert "".join(piece["delta"]["toolUse"]["input"] for piece in broken) == '{"team": ', broken


def forced(double):
    for choice, name in [({"any": {}}, "answer"), ({"tool": {"name": "look_up"}}, "look_up")]:
        double.will("text", text='{"team": "billing"}')
        answer = double.chat(toolConfig={**TOOLS, "toolChoice": choice})
        (block,) = answer["output"]["message"]["content"]
        assert (block["toolUse"]["name"], block["toolUse"]["input"]) == (name, {"team": "billing"}), block
    unknown = {**TOOLS, "toolChoice": {"tool": {"name": "other"}}}
    fails(ClientError, lambda: double.chat(toolConfig=unknown), "ValidationException")


def stops(double):
    for reason in ["max_tokens", "content_filtered", "guardrail_intervened", "stop_sequence"]:
        double.will("stopped", text="cut", reason=reason)
        assert double.chat()["stopReason"] == reason
        double.will("stopped", text="cut", reason=reason)
        assert double.stream()[-2]["messageStop"]["stopReason"] == reason


def embeddings(double):
    for dimensions in [256, 512, 1024]:
        options = {"dimensions": dimensions, "normalize": True}
        one, two, again = [
            double.embed("amazon.titan-embed-text-v2:0", inputText=text, **options)["embedding"]
            for text in ["The invoice is wrong.", "The modem is dead.", "The invoice is wrong."]
        ]
        near = double.embed("amazon.titan-embed-text-v2:0", inputText="An invoice was wrong", **options)["embedding"]
        assert one == again != two and len(one) == dimensions
        assert abs(sum(number * number for number in one) - 1) < 1e-5
        assert cosine(one, near) > cosine(one, two), "texts that share words are nearer"
    assert len(double.embed("amazon.titan-embed-text-v2:0", inputText="x")["embedding"]) == 1024
    texts = ["one", "two", "one"]
    for model in ["cohere.embed-english-v3", "cohere.embed-multilingual-v3"]:
        answer = double.embed(model, texts=texts, input_type="search_document", truncate="END")
        one, two, again = answer["embeddings"]
        assert one == again != two and len(one) == 1024 and answer["response_type"] == "embeddings_floats"
    typed = double.embed(model, texts=texts, input_type="search_query", embedding_types=["float"])
    assert len(typed["embeddings"]["float"]) == 3 and typed["response_type"] == "embeddings_by_type"
    for model, body in [
        ("amazon.titan-embed-text-v2:0", {"inputText": ""}),
        ("amazon.titan-embed-text-v2:0", {"inputText": "x", "dimensions": 100}),
        ("amazon.titan-embed-text-v2:0", {"inputText": "x", "texts": ["x"]}),
        ("amazon.titan-embed-text-v2:0", {"inputText": "word " * 9000}),
        ("cohere.embed-english-v3", {"texts": ["x"]}),
        ("cohere.embed-english-v3", {"texts": ["x"] * 97, "input_type": "search_query"}),
        ("cohere.embed-english-v3", {"texts": ["x" * 2049], "input_type": "search_query"}),
    ]:
        fails(ClientError, lambda model=model, body=body: double.embed(model, **body), "ValidationException")
    fails(ClientError, lambda: double.chat(modelId="cohere.embed-english-v3"), "ValidationException")


def cosine(one, two):
    return sum(a * b for a, b in zip(one, two))


def guardrails(double):
    assert double.say({"block": "competitor"}) == "ok\n"

    def apply(text, **options):
        content = [{"text": {"text": text}}]
        return double.client.apply_guardrail(**{**GUARDRAIL, "source": "INPUT", "content": content, **options})

    assert apply("Which team?")["action"] == "NONE"
    stopped = apply("Which competitor?")
    assert stopped["action"] == "GUARDRAIL_INTERVENED" and stopped["outputs"][0]["text"], stopped
    (word,) = stopped["assessments"][0]["wordPolicy"]["customWords"]
    assert word == {"match": "competitor", "action": "BLOCKED"}, word
    fails(ClientError, lambda: apply("x", guardrailVersion="7"), "ResourceNotFoundException")
    fails(ClientError, lambda: apply("x", source="SIDEWAYS"), "ValidationException")
    asking = [{"role": "user", "content": [{"text": "Which competitor?"}]}]
    answer = double.chat(messages=asking, guardrailConfig=GUARDRAIL)
    assert answer["stopReason"] == "guardrail_intervened" and words(answer), answer
    events = double.stream(messages=asking, guardrailConfig=GUARDRAIL)
    assert events[-2]["messageStop"]["stopReason"] == "guardrail_intervened"
    unknown = {**GUARDRAIL, "guardrailVersion": "7"}
    fails(ClientError, lambda: double.chat(guardrailConfig=unknown), "ValidationException")


def faults(double):
    for status, code in [
        (400, "ValidationException"),
        (403, "AccessDeniedException"),
        (404, "ResourceNotFoundException"),
        (408, "ModelTimeoutException"),
        (424, "ModelErrorException"),
        (429, "ThrottlingException"),
        (429, "ModelNotReadyException"),
        (500, "InternalServerException"),
        (503, "ServiceUnavailableException"),
    ]:
        kind = getattr(double.client.exceptions, code)
        for ask in [double.chat, double.stream]:
            double.will("status", status=status, kind=code, message="no", retry_after="7")
            error = fails(kind, ask, code)
            metadata = error.response["ResponseMetadata"]
            assert metadata["HTTPStatusCode"] == status and metadata["HTTPHeaders"]["retry-after"] == "7", error
            assert error.response["Error"]["Message"] == "no" and metadata["RequestId"], error
    # The client comes back by itself.
    double.will("status", status=429, kind="ThrottlingException")
    double.will("text", text="Back.")
    patient = double.client_with(retries={"total_max_attempts": 2, "mode": "standard"})
    assert words(patient.converse(modelId=NOVA, messages=HI)) == "Back."
    for exception in ["modelStreamErrorException", "internalServerException", "throttlingException"]:
        double.will("error_inside", text="one two", kind=exception)
        error = fails(EventStreamError, double.stream)
        assert error.response["Error"]["Code"] == exception, error
    double.will("corrupt", text="one")
    fails(ChecksumMismatch, double.stream)
    double.will("slow", millis=50, then={"reply": "text", "text": "At last."})
    assert words(double.chat()) == "At last."
    impatient = double.client_with(read_timeout=0.3)
    double.will("hang", text="one")
    fails(ReadTimeoutError, lambda: impatient.converse(modelId=NOVA, messages=HI))
    for ask in [double.chat, double.stream]:
        double.will("cut", text="one two three")
        # In a stream, the client hands on what is below it.
        fails((BotoConnectionError, HTTPClientError, ResponseStreamingError, ProtocolError), ask)
    double.will("endless")
    endless = double.client.converse_stream(modelId=NOVA, messages=HI)["stream"]
    assert len([event for _, event in zip(range(1000), endless)]) == 1000
    endless.close()
    assert double.say({"invoke": {"reply": "status", "status": 429, "kind": "ThrottlingException"}}) == "ok\n"
    one = lambda: double.embed("amazon.titan-embed-text-v2:0", inputText="x")
    fails(ClientError, one, "ThrottlingException")
    one()


def refused(double):
    wrong = double.client_with(key="AKIDOFNOBODY")
    ask = lambda client: client.converse(modelId=NOVA, messages=HI)
    fails(ClientError, lambda: ask(wrong), "UnrecognizedClientException")
    unsigned = double.client_with(signature_version=UNSIGNED)
    error = fails(ClientError, lambda: ask(unsigned), "MissingAuthenticationTokenException")
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 403, error
    other = double.client_with()
    other.meta.events.register("choose-signer.bedrock-runtime", lambda **_: None)
    other._request_signer._signing_name = "s3"
    fails(ClientError, lambda: ask(other), "InvalidSignatureException")
    fails(ClientError, lambda: double.chat(modelId="no.such-model"), "ResourceNotFoundException")
    said = {"role": "assistant", "content": [{"text": "I am here."}]}
    for wrong in [
        {"messages": []},
        {"messages": [said]},
        {"messages": [*HI, *HI]},
        {"messages": [{"role": "user", "content": [{"text": " "}]}]},
        {"messages": [{"role": "robot", "content": [{"text": "Hi"}]}]},
        {"messages": [{"role": "user", "content": []}]},
        {"system": [{"text": ""}]},
        {"inferenceConfig": {"temperature": 7.5}},
        {"toolConfig": {"tools": [tool("look up")]}},
        {"toolConfig": {"tools": [tool("a"), tool("a")]}},
    ]:
        # What the client refuses by itself never comes here.
        kind = (ClientError, ParamValidationError)
        error = fails(kind, lambda wrong=wrong: double.chat(**wrong))
        assert isinstance(error, ParamValidationError) or error.response["Error"]["Code"] == "ValidationException", error


def requests(double):
    """All that the double got, held against AWS's own model of the service."""
    model = double.client.meta.service_model
    checked = {}
    for asked in double.asked():
        parts, body = asked["path"].split("/"), asked["body"]
        name, members = {
            "converse": ("Converse", {**body, "modelId": asked["subject"]}),
            "converse-stream": ("ConverseStream", {**body, "modelId": asked["subject"]}),
            "invoke": ("InvokeModel", {"body": json.dumps(body), "modelId": asked["subject"]}),
            "apply": (
                "ApplyGuardrail",
                {**body, "guardrailIdentifier": asked["subject"], "guardrailVersion": parts[-2]},
            ),
        }[parts[-1]]
        report = ParamValidator().validate(members, model.operation_model(name).input_shape)
        assert not report.has_errors(), (asked, report.generate_report())
        checked[name] = checked.get(name, 0) + 1
    assert len(checked) == 4 and min(checked.values()) >= 4, checked
    print(f"{sum(checked.values())} requests are as the model of the service says: {checked}")


def main():
    double = Double(sys.argv[1])
    checks = [plain, streamed, tools, forced, stops, embeddings, guardrails, faults, refused, requests]
    for check in checks:
        try:
            check(double)
        except BaseException:
            print(f"boto3 {boto3.__version__} and the double differ in `{check.__name__}`", file=sys.stderr)
            double.process.kill()
            raise
    double.end()
    print(f"boto3 {boto3.__version__} (botocore {botocore.__version__}) and the double agree in {len(checks)} checks")


main()
