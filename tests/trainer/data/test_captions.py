import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.convert_slow_tokenizer import bytes_to_unicode

from tests.helpers import synthetic
from trainer.data import captions, refine
from trainer.data.captions import CaptionRecipe, make, parse
from trainer.data.language_model import LocalModel
from trainer.errors import DataError, RecipeError, WeightsError

CPU = torch.device("cpu")


# The rule and the prompts


@pytest.mark.parametrize(
    ("caption", "refined"),
    [
        ("The low quality recording features a waltz.", "The recording features a waltz."),
        ("Low quality recording features a waltz.", "Recording features a waltz."),
        ("The low-quality recording features a waltz.", "The recording features a waltz."),
        ("The recording is of low quality.", "The recording is of low quality."),
        ("A yellow quality recording features a waltz.", "A yellow quality recording features a waltz."),
    ],
)
def test_rule(caption: str, refined: str) -> None:
    assert refine.by_rule(caption) == refined


def test_prompts_hold_the_papers_words_four_examples_and_the_caption_last() -> None:
    text = refine.completion_prompt("A noisy tune.")
    assert text.startswith("Refine or remove an audio quality-related phrase to eliminate any mention of audio quality.\n")
    assert text.count("Caption:") == text.count("Refined:") == 5
    assert text.endswith("Caption: A noisy tune.\nRefined:")
    chat = refine.chat_prompt("A noisy tune.")
    assert [message["role"] for message in chat] == ["system", *["user", "assistant"] * 4, "user"]
    assert chat[-1]["content"] == "A noisy tune."
    assert refine.PROMPT in chat[0]["content"]
    assert len(refine.EXAMPLES) == 4
    for _, after in refine.EXAMPLES:
        assert not any(word in after.lower() for word in ("quality", "noisy", "mono", "hiss"))


@pytest.mark.parametrize(
    ("answer", "refined"),
    [
        (" A tune.\n\nCaption: more", "A tune."),
        ('"A tune."', "A tune."),
        ("Refined: A  tune.", "A tune."),
        ("", "the caption"),
        (" \n ", "the caption"),
    ],
)
def test_answers_are_cleaned(answer: str, refined: str) -> None:
    assert refine.cleaned(answer, "the caption") == refined


# The recipe


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"captioner": "whisper"}, "captions.captioner: 'whisper'; allowed are lp-musiccaps, command, csv"),
        ({"captioner": "command"}, "captions.command: captioner 'command' needs it"),
        ({"captioner": "lp-musiccaps"}, "captions.weights: captioner 'lp-musiccaps' needs it"),
        ({"captioner": "csv", "csv": "a.csv", "beams": 5}, "captions.beams: no such key; allowed are captioner, weights, command"),
        ({"csv": 3}, "captions.csv: 3 is not a text"),
        ({"command": "run me"}, "captions.command: 'run me' is not a list of texts"),
        ({"command": [1]}, r"captions.command: \[1\] is not a list of texts"),
        ({"csv": "a.csv", "batch_size": 0}, "captions.batch_size: 0 is not a whole number of at least 1"),
        ({"csv": "a.csv", "batch_size": True}, "captions.batch_size: True is not"),
        ({"csv": "a.csv", "refine": ["magic"]}, "captions.refine: 'magic'; allowed are rule, llm"),
        ({"csv": "a.csv", "refine": ["llm"]}, "captions.llm.model: refine has 'llm', which needs it"),
        ({"csv": "a.csv", "llm": {"key": "x"}}, "captions.llm.key: no such key; allowed are model, endpoint, key_env, workers"),
        ({"csv": "a.csv", "llm": "x"}, "captions.llm: 'x' is not a table"),
        ({"csv": "a.csv", "llm": {"endpoint": "localhost:80"}}, "captions.llm.endpoint: 'localhost:80' must begin with http://"),
    ],
)
def test_bad_recipes_name_the_key_and_what_is_allowed(table: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse(table)


def test_recipe() -> None:
    recipe = parse({"captioner": "command", "command": ["a", "b"], "refine": ["rule", "llm"], "llm": {"model": "m", "workers": 2}})
    assert recipe.command == ("a", "b")
    assert recipe.refine == ("rule", "llm")
    assert (recipe.llm.model, recipe.llm.workers, recipe.llm.max_new_tokens) == ("m", 2, 160)


# Captioners


def script(tmp_path: Path, body: str) -> tuple[str, ...]:
    path = tmp_path / "captioner.py"
    path.write_text(f"import sys\nfrom pathlib import Path\nlog = open({str(tmp_path / 'log')!r}, 'a')\n{body}\n")
    return (sys.executable, str(path))


LOOP = "for line in sys.stdin:\n    path = line.rstrip('\\n')\n    log.write(path + '\\n')\n"


def test_captions_of_a_csv_are_ruled(clips: list[tuple[str, Path]], tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("id,caption\n1-0,The low quality recording features a waltz.\n1-1,\n1-2,A piece.\n9-9,Not asked for.\n")
    texts, problems = make(clips, CaptionRecipe(csv=str(tmp_path / "c.csv")), tmp_path / "cache.jsonl")
    assert texts == {"1-0": "The recording features a waltz.", "1-2": "A piece."}
    assert len(problems) == 2
    assert "c.csv row 3 (id '1-1'): the caption is empty" in problems[0]
    assert problems[1].endswith("c.csv: no caption for clip 1-3; add one")
    assert not (tmp_path / "cache.jsonl").exists()


def test_captions_of_an_external_command_are_stored(clips: list[tuple[str, Path]], tmp_path: Path) -> None:
    command = script(tmp_path, LOOP + "    print(path, f'The low quality recording features {Path(path).stem}.', sep='\\t')")
    recipe = CaptionRecipe(captioner="command", command=command)
    texts, problems = make(clips, recipe, tmp_path / "cache.jsonl")
    assert texts == {name: f"The recording features {name}." for name, _ in clips}
    assert problems == []
    assert make(clips, recipe, tmp_path / "cache.jsonl")[0] == texts
    assert len((tmp_path / "log").read_text().splitlines()) == 4  # the second time it was not asked
    synthetic.write_wav(clips[2][1], np.full(800, 0.9), 16_000)  # another sound needs another caption
    make(clips, recipe, tmp_path / "cache.jsonl")
    assert (tmp_path / "log").read_text().splitlines()[4:] == [str(clips[2][1])]


def test_a_broken_run_goes_on_where_it_broke(clips: list[tuple[str, Path]], tmp_path: Path) -> None:
    dies = f"    if path.endswith('1-2.wav') and not Path({str(tmp_path / 'mended')!r}).exists():\n        sys.exit('no memory')\n"
    command = script(tmp_path, LOOP + dies + "    print(path, 'A piece.', sep='\\t', flush=True)")
    recipe = CaptionRecipe(captioner="command", command=command)
    with pytest.raises(DataError, match=r"ended with code 1 after 2 of 4 clips \(no memory\); .*captions that were made are kept"):
        make(clips, recipe, tmp_path / "cache.jsonl")
    with (tmp_path / "cache.jsonl").open("a") as file:
        file.write('{"key": "half a li')  # as kill -9 leaves it
    (tmp_path / "mended").touch()
    texts, _ = make(clips, recipe, tmp_path / "cache.jsonl")
    assert len(texts) == 4
    asked = [Path(line).stem for line in (tmp_path / "log").read_text().splitlines()]
    assert asked == ["1-0", "1-1", "1-2", "1-2", "1-3"]
    assert all(json.loads(line)["text"] for line in (tmp_path / "cache.jsonl").read_text().splitlines())


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (LOOP + "    print('A piece.')", r"line 1 is 'A piece.'..., expected .*1-0.wav<TAB>caption"),
        (LOOP + "    print(path, 'A piece.', sep='\\t')\nprint('Done.')", r"line 5 is 'Done.'..., expected nothing more"),
        (LOOP + "    break", r"ended with code 0 after 0 of 4 clips \(no message\)"),
    ],
)
def test_a_command_that_writes_something_else(clips: list[tuple[str, Path]], tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        make(clips, CaptionRecipe(captioner="command", command=script(tmp_path, body)), tmp_path / "cache.jsonl")


def test_a_command_that_is_not_there(clips: list[tuple[str, Path]], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere/captioner: the captioner cannot be started \(No such file"):
        make(clips, CaptionRecipe(captioner="command", command=("nowhere/captioner",)), tmp_path / "cache.jsonl")


def test_broken_captions_are_listed_and_asked_for_again(clips: list[tuple[str, Path]], tmp_path: Path) -> None:
    body = LOOP + "    sys.stdout.buffer.write(path.encode() + b'\\t' + (b'\\xff\\xfe' if '1-1' in path else b'A piece.') + b'\\n')"
    recipe = CaptionRecipe(captioner="command", command=script(tmp_path, body))
    for _ in range(2):
        texts, problems = make(clips, recipe, tmp_path / "cache.jsonl")
        assert sorted(texts) == ["1-0", "1-2", "1-3"]
        assert len(problems) == 1
        assert "1-1.wav: its caption '\\udcff\\udcfe' has broken Unicode" in problems[0]
    assert (tmp_path / "log").read_text().count("1-1.wav") == 2


def test_a_cache_that_is_something_else(clips: list[tuple[str, Path]], tmp_path: Path) -> None:
    for text in ("once upon a time\n", "once upon a time", '{"key": "a", "text": "b"}\nonce'):
        (tmp_path / "cache.jsonl").write_text(text)
        with pytest.raises(DataError, match=r"cache.jsonl line [12]: not one of the captions kept here; delete the file"):
            make(clips, CaptionRecipe(csv="x.csv"), tmp_path / "cache.jsonl")
        assert (tmp_path / "cache.jsonl").read_text() == text


# Refinement by a local language model: the real class, tiny


def test_local_model_refines_in_batches_whatever_the_padding(tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text(
        json.dumps({token: index for index, token in enumerate([*bytes_to_unicode().values(), "<|endoftext|>"])})
    )
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    torch.manual_seed(1)
    GPT2LMHeadModel(GPT2Config(vocab_size=257, n_positions=2048, n_embd=32, n_layer=1, n_head=2)).save_pretrained(tmp_path)
    source = [f"A tune{' with a long noisy tail' * number}." for number in range(4)]
    batched = list(LocalModel(str(tmp_path), CPU, 12, 4).refine(source))
    alone = list(LocalModel(str(tmp_path), CPU, 12, 1).refine(source))
    assert batched == alone
    assert all(batched)
    (tmp_path / "c.csv").write_text("id,caption\n" + "".join(f"{number},{text}\n" for number, text in enumerate(source)))
    recipe = CaptionRecipe(
        csv=str(tmp_path / "c.csv"), refine=("llm",), llm=captions.LlmRecipe(model=str(tmp_path), max_new_tokens=12), batch_size=2
    )
    clips = [(str(number), tmp_path) for number in range(4)]
    assert make(clips, recipe, tmp_path / "cache.jsonl", device="cpu") == ({str(number): text for number, text in enumerate(batched)}, [])
    with pytest.raises(WeightsError, match=r"language model '.*gone' could not be loaded .*captions.llm.model"):
        LocalModel(str(tmp_path / "gone"), CPU, 12, 1)


# Refinement through an endpoint: a stub of the protocol


class Stub(BaseHTTPRequestHandler):
    requests: list[tuple[str, str | None, dict[str, Any]]] = []  # noqa: RUF012 - emptied for each test
    failures: list[int] = []  # noqa: RUF012
    answer: bytes | None = None

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.requests.append((self.path, self.headers.get("Authorization"), body))
        status = self.failures.pop(0) if self.failures else 200
        caption = body["messages"][-1]["content"].replace("noisy ", "")
        answer = self.answer or json.dumps({"choices": [{"message": {"role": "assistant", "content": f'"{caption}"\n'}}]}).encode()
        self.send_response(status)
        self.end_headers()
        self.wfile.write(answer if status == 200 else b"no such model")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(refine, "RETRY_AFTER_S", (0.0, 0.0, 0.0))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(Stub, "requests", [])
    monkeypatch.setattr(Stub, "failures", [])
    monkeypatch.setattr(Stub, "answer", None)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stub)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def recipe_for(endpoint: str, csv: Path, workers: int = 3) -> CaptionRecipe:
    return CaptionRecipe(csv=str(csv), refine=("rule", "llm"), llm=captions.LlmRecipe(model="llama", endpoint=endpoint, workers=workers))


@pytest.fixture
def caption_csv(tmp_path: Path) -> Path:
    path = tmp_path / "captions.csv"
    path.write_text(
        "id,caption\n" + "".join(f"1-{number},The low quality recording features a noisy tune {number % 3}.\n" for number in range(4))
    )
    return path


def test_endpoint_refines_each_caption_once_and_keeps_it(
    clips: list[tuple[str, Path]], endpoint: str, caption_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    texts, _ = make(clips, recipe_for(endpoint, caption_csv), tmp_path / "cache.jsonl")
    assert texts == {f"1-{number}": f"The recording features a tune {number % 3}." for number in range(4)}
    assert len(Stub.requests) == 3  # two clips share a caption
    path, key, body = Stub.requests[0]
    assert (path, key) == ("/v1/chat/completions", "Bearer secret")
    assert (body["model"], body["temperature"], body["max_tokens"], len(body["messages"])) == ("llama", 0, 160, 10)
    assert make(clips, recipe_for(endpoint, caption_csv), tmp_path / "cache.jsonl")[0] == texts
    assert len(Stub.requests) == 3
    assert "secret" not in (tmp_path / "cache.jsonl").read_text()


def test_endpoint_is_tried_again_and_a_broken_run_goes_on(
    clips: list[tuple[str, Path]], endpoint: str, caption_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    Stub.failures += [200, 503, 429, 200, 500, 500, 500, 500]
    with pytest.raises(DataError, match=r"/v1: no answer after 4 tries \(HTTP 500\); start it and run again: refined captions are kept"):
        make(clips, recipe_for(endpoint, caption_csv, workers=1), tmp_path / "cache.jsonl")
    assert Stub.requests[0][1] is None
    before = len(Stub.requests)
    texts, _ = make(clips, recipe_for(endpoint, caption_csv, workers=1), tmp_path / "cache.jsonl")
    assert len(texts) == 4
    assert len(Stub.requests) - before == 1


@pytest.mark.parametrize(
    ("status", "answer", "message"),
    [
        (401, None, r"refused the key \(HTTP 401\); set \$OPENAI_API_KEY"),
        (404, None, r"HTTP 404 for model 'llama' \(no such model\); check captions.llm"),
        (200, b"<html>", r"its answer is not a chat completion \(.*\); use an OpenAI-compatible endpoint"),
        (200, b'{"choices": []}', r"its answer is not a chat completion"),
    ],
)
def test_endpoint_that_refuses_or_talks_otherwise(
    clips: list[tuple[str, Path]], endpoint: str, caption_csv: Path, tmp_path: Path, status: int, answer: bytes | None, message: str
) -> None:
    Stub.failures += [status] * 3
    Stub.answer = answer
    with pytest.raises(DataError, match=message):
        make(clips, recipe_for(endpoint, caption_csv), tmp_path / "cache.jsonl")


def test_endpoint_that_is_not_there(
    clips: list[tuple[str, Path]], caption_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refine, "RETRY_AFTER_S", (0.0,))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(DataError, match=r"127.0.0.1:9/v1: no answer after 2 tries \(.*refused"):
        make(clips, recipe_for("http://127.0.0.1:9/v1", caption_csv), tmp_path / "cache.jsonl")
