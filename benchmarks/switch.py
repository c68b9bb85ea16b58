"""Code-switching 12-word captions in 14 languages: ours against the study's way (Treebank tokeniser, dictionaries).

Words are real: the 100,000 commonest of English, each with a word of every other language; captions draw them by frequency.
"""

from __future__ import annotations

import io
import multiprocessing
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import wordfreq
from nltk.tokenize import TreebankWordDetokenizer, TreebankWordTokenizer

from benchmarks.timing import side_by_side
from mmcs.codeswitch.draw import Draw
from mmcs.codeswitch.lexicon import Lexicon, normalise
from mmcs.codeswitch.lookup import Lookup
from mmcs.codeswitch.strategy import Caption, Strategy
from mmcs.codeswitch.words import Multilingual, Phrases
from mmcs.lexicons.format import write_lexicon
from mmcs.lexicons.lemmas import lemmas_of

LANGUAGES = ("ar", "de", "es", "fr", "hi", "id", "it", "ja", "nl", "pt", "ru", "tr", "vi", "zh")
ENTRIES = 100_000
CAPTIONS = 2_000
WORKERS = 4
STUDY = "the study's way: NLTK's Treebank tokeniser, dictionaries"


def words_of(language: str) -> list[str]:
    """Up to ``ENTRIES`` words of ``language``, the commonest first."""
    return wordfreq.top_n_list(language, ENTRIES, wordlist="best", ascii_only=False)


def dictionaries() -> dict[str, dict[str, str]]:
    """language -> English word -> word, 100,000 each."""
    english = list(dict.fromkeys(filter(None, map(normalise, wordfreq.top_n_list("en", ENTRIES + 20_000)))))[:ENTRIES]
    made = {}
    for language in LANGUAGES:
        targets = words_of(language)
        order = random.Random(language).sample(range(len(english)), len(english))
        made[language] = {word: targets[i % len(targets)] for word, i in zip(english, order, strict=True)}
    return made


def captions(words: list[str]) -> list[str]:
    """Sentences of 12 words, drawn by how common they are."""
    frequencies = [wordfreq.word_frequency(word, "en") for word in words]
    generator = random.Random(0)
    return [" ".join(generator.choices(words, frequencies, k=12)).capitalize() + "." for _ in range(CAPTIONS)]


class Study:
    """The study's ML-CS on one caption: tokenise, switch each token with p, put the text together."""

    def __init__(self, tables: dict[str, dict[str, str]], join: Callable[[list[str]], str]) -> None:
        self.tables, self.join = tables, join
        self.languages = list(tables)
        self.tokenise = TreebankWordTokenizer().tokenize

    def __call__(self, text: str) -> str:
        switched = []
        for token in self.tokenise(text):
            if random.random() < 0.5:
                table = self.tables[self.languages[random.randint(0, len(self.languages) - 1)]]
                token = table.get(token.lower(), token)
            switched.append(token)
        return self.join(switched)


def measure() -> list[dict[str, Any]]:
    """The rows of this group."""
    tables = dictionaries()
    texts = captions(list(next(iter(tables.values()))))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.lex"
        entries = {language: {w: [(t, 1.0)] for w, t in table.items()} for language, table in tables.items()}
        source = [{"name": "bench", "provenance": "wordfreq's words at random", "licence": "none: not a dictionary"}]
        write_lexicon(path, entries, source_language="en", sources=source)
        # Phrases: every tenth word also begins phrases of two and three, as titles do.
        phrases = {language: of | _phrases(list(tables[language])) for language, of in entries.items()}
        write_lexicon(Path(folder) / "phrases.lex", phrases, source_language="en", sources=source)
        del entries, phrases
        lexicon, with_phrases = Lexicon.open(path), Lexicon.open(Path(folder) / "phrases.lex")
        words = Multilingual(Lookup(lexicon))
        lemmas = Multilingual(Lookup(lexicon, lemmas=lemmas_of("en")))
        study, detokenised = Study(tables, " ".join), Study(tables, TreebankWordDetokenizer().detokenize)

        def row(name: str, strategy: Strategy, peer: Study, peer_name: str) -> dict[str, Any]:
            return side_by_side(
                name, lambda: _run(strategy, texts), lambda: list(map(peer, texts)), peer_name, per=CAPTIONS, unit="us"
            )

        rows = [
            row("switch_14_languages", words, detokenised, f"{STUDY} and detokeniser"),
            row("switch_without_detokeniser", words, study, f"{STUDY}, joined at spaces"),
            row("switch_phrases", Phrases(Lookup(with_phrases)), study, f"{STUDY}, words only"),
            row("switch_lemmas", lemmas, study, f"{STUDY}, without base forms"),
        ]
        return [*rows, _share_of_loading(rows[0]["ours"]), _private_memory(words, study, texts)]


def _phrases(words: list[str]) -> dict[str, list[tuple[str, float]]]:
    generator = random.Random(1)
    heads = words[::10] * 2
    return {
        " ".join([head, *generator.choices(words[:5_000], k=1 + i % 2)]): [("x y", 1.0)] for i, head in enumerate(heads)
    }


def _run(strategy: Strategy, texts: list[str]) -> list[str]:
    return [strategy(Caption(text, {}), Draw(0, 0, i, 0)).text for i, text in enumerate(texts)]


def _share_of_loading(switch: float) -> dict[str, Any]:
    """Microseconds of the switch against those of reading one picture of 480 pixels (decode, crop, resize)."""
    import numpy as np
    import torch
    from PIL import Image

    from mmcs.stream.decode import DecodeImage
    from mmcs.stream.transforms import train_transform

    torch.set_num_threads(1)
    picture = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((640, 480), Image.Resampling.BICUBIC).save(picture, "JPEG", quality=85)
    decode = DecodeImage(train_transform(224, scale=(0.9, 1.0)), seed=0)
    times = []
    for i in range(100):
        sample = {"files": {"jpg": picture.getvalue()}, "identity": str(i), "pass": 0}
        started = time.perf_counter()
        decode(sample)
        times.append(time.perf_counter() - started)
    load = statistics.median(times) * 1e6
    return {
        "name": "switch_share_of_loading",
        "ours": switch,
        "peer": load,
        "unit": "us",
        "ratio": load / switch,
        "peer_name": "decoding and cropping one JPEG of 640 x 480",
    }


def _private_memory(ours: Strategy, study: Study, texts: list[str]) -> dict[str, Any]:
    """MB that 4 spawned workers hold for themselves after 2,000 captions, beyond workers that do nothing."""
    idle = _private_of_workers(None, [])
    mine, theirs = (_private_of_workers(what, texts) - idle for what in (ours, study))
    return {
        "name": "switch_private_memory",
        "ours": mine,
        "peer": theirs,
        "unit": "MB",
        "ratio": theirs / mine,
        "peer_name": f"the study's dictionaries in {WORKERS} spawned workers",
    }


def _private_of_workers(what: Any, texts: list[str]) -> float:
    context = multiprocessing.get_context("spawn")
    queue, done = context.Queue(), context.Event()
    workers = [context.Process(target=_worker, args=(what, texts, queue, done)) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    total = sum(queue.get() for _ in workers)
    done.set()
    for worker in workers:
        worker.join()
    return total


def _worker(what: Any, texts: list[str], queue: Any, done: Any) -> None:
    """Switches the captions, tells the MB of private memory, and stays until all have told: no page is freed early."""
    if isinstance(what, Study):
        list(map(what, texts))
    elif what is not None:
        _run(what, texts)
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    queue.put(sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024)
    done.wait()
