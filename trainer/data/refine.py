"""Remove mentions of audio quality from captions, as in the MMVA paper: a rule, then a language model.

Captioners trained on MusicCaps often mention a "low quality recording", which does not describe the music.
"""

import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from trainer.errors import DataError

PROMPT = "Refine or remove an audio quality-related phrase to eliminate any mention of audio quality"
"""The paper's prompt, word for word."""

EXAMPLES = (
    (
        "The low quality recording features a ballad sung by a tender female voice over piano chords. It sounds sad and lonely.",
        "The recording features a ballad sung by a tender female voice over piano chords. It sounds sad and lonely.",
    ),
    (
        "A fast punk song with shouted male vocals and distorted guitars. The audio quality is poor and there is hiss in the background.",
        "A fast punk song with shouted male vocals and distorted guitars.",
    ),
    (
        "Despite the mono, noisy recording, the mellow saxophone melody stands out over brushed drums and an upright bass.",
        "The mellow saxophone melody stands out over brushed drums and an upright bass.",
    ),
    (
        "This instrumental features a bright synth lead and a four on the floor kick. The mood is euphoric.",
        "This instrumental features a bright synth lead and a four on the floor kick. The mood is euphoric.",
    ),
)
"""Four captions before and after; the last is unchanged, as an example of captions that need no refinement."""

RETRY_AFTER_S = (1.0, 4.0, 16.0)
ANSWER_LIMIT_S = 120

_RULE = re.compile(r"\blow[ -]quality recording features\b", re.IGNORECASE)


def by_rule(caption: str) -> str:
    """The paper's rule: 'low quality recording features' becomes 'recording features'."""
    return _RULE.sub(lambda match: "Recording features" if match[0][0] == "L" else "recording features", caption)


def completion_prompt(caption: str) -> str:
    """The prompt and the examples as a text that a language model completes."""
    shots = [f"Caption: {before}\nRefined: {after}\n" for before, after in EXAMPLES]
    return "\n".join([f"{PROMPT}.\n", *shots, f"Caption: {caption}\nRefined:"])


def chat_prompt(caption: str) -> list[dict[str, str]]:
    """The prompt and the examples as a conversation."""
    messages = [{"role": "system", "content": f"{PROMPT}. Answer with the refined caption alone."}]
    for before, after in EXAMPLES:
        messages += [{"role": "user", "content": before}, {"role": "assistant", "content": after}]
    return [*messages, {"role": "user", "content": caption}]


def cleaned(answer: str, caption: str) -> str:
    """The first line of a model's answer without its label and quotes; the caption itself if that is empty."""
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    text = re.sub(r"^(refined|caption)\s*:\s*", "", lines[0], flags=re.IGNORECASE) if lines else ""
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    return " ".join(text.split()) or caption


def through_endpoint(captions: Sequence[str], *, url: str, model: str, key_env: str, max_new_tokens: int, workers: int) -> Iterator[str]:
    """Refine captions through an OpenAI-compatible endpoint, concurrently, in order.

    Args:
        captions: the captions to refine.
        url: base URL with the version, such as `http://localhost:8000/v1`.
        model: the endpoint's name of the model.
        key_env: environment variable with the key; no key is sent if it is not set.
        max_new_tokens: of an answer.
        workers: requests at a time.

    Raises:
        DataError: the endpoint refuses the request, does not answer after three retries, or gives an invalid answer.
    """
    threads = ThreadPoolExecutor(workers)
    try:
        yield from threads.map(lambda caption: cleaned(_ask(url, model, key_env, max_new_tokens, caption), caption), captions)
    finally:
        threads.shutdown(cancel_futures=True)


def _ask(url: str, model: str, key_env: str, max_new_tokens: int, caption: str) -> str:
    body = {"model": model, "messages": chat_prompt(caption), "temperature": 0, "max_tokens": max_new_tokens}
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get(key_env):
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(f"{url.rstrip('/')}/chat/completions", json.dumps(body).encode(), headers)
    for pause_s in (*RETRY_AFTER_S, None):
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_LIMIT_S) as response:
                return str(json.load(response)["choices"][0]["message"]["content"] or "")
        except urllib.error.HTTPError as error:
            if error.code in (401, 403):
                raise DataError(f"{url}: refused the key (HTTP {error.code}); set ${key_env} to a valid one") from error
            if error.code not in (408, 429) and error.code < 500:
                message = " ".join(error.read(300).decode(errors="replace").split())
                raise DataError(f"{url}: HTTP {error.code} for model {model!r} ({message}); check captions.llm in the recipe") from error
            failure = f"HTTP {error.code}"
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise DataError(f"{url}: its answer is not a chat completion ({error!r}); use an OpenAI-compatible endpoint") from error
        except OSError as error:
            failure = str(getattr(error, "reason", error))
        if pause_s is not None:
            time.sleep(pause_s)
    raise DataError(f"{url}: no answer after {len(RETRY_AFTER_S) + 1} tries ({failure}); start it and run again: refined captions are kept")
