"""The documentation's commands as they stand on its pages, what a page says of those that are not run, and a folder in which
the others run: every path that a page names, small. ``test_documented_run.py`` and its slow part run them.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
import runpy
import shlex
import shutil
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from small_world import COLOURS, SHAPES, picture, write_shard

sys.path.insert(0, str(Path(__file__).parents[1] / "lexicons"))  # those rooms' own helpers
sys.path.insert(0, str(Path(__file__).parents[1] / "prepare"))

import suite_folders
from lexicon_files import dictionary
from test_cldr_names import xml
from test_documented import PAGES
from test_lexicon_tei import DOG, tei
from test_lexicon_wikititles import LINKS, write_dumps
from test_lexicon_wikititles import PAGES as TITLES
from test_prepare_sets import build_deb

from mmcs.cli import main as mmcs
from mmcs.train import main as mmcs_train

ROOT = Path(__file__).parents[2]
NOT_RUN = "not run by the tests"
# What a reader types beside mmcs. Code spans only name mmcs's commands: what is to be typed stands in blocks.
PROGRAMS = ("make", "pip", "python", "torchrun", "srun", "ir_measures")
EXCUSED_AS_A_WHOLE = ("study.md",)  # hours on a GPU, and what is done with the runs that they leave
RUN_ELSEWHERE = {"extending.md": "tests/commands/test_extending.py"}
# Minutes: tests/slow/test_documented_slowly.py runs them.
SLOW = (
    ("suites.md", "mmcs data prepare emoji "),
    ("training.md", "mmcs-train -m seed="),
    ("training.md", "mmcs-train -m hydra/sweeper=optuna"),
    ("training.md", "mmcs compare multirun/lr"),
)
SMALL = "model=open_clip model.name=model.json"
# What is replaced in a command, by what, and why it must be.
SUBSTITUTIONS = (
    (r"…", "", "what else a reader's run takes: here, the small model below"),
    (r"model=open_clip model\.name=\S+ model\.pretrained=\S+", SMALL, "weights come from a model hub"),
    (
        r"^(mmcs-train (?!.* model=).*)$",
        rf"\1 {SMALL} model.lock_image=false eval.languages=null eval.seen_languages=null",
        "the demo's towers take minutes, and its suites have sixteen languages",
    ),
    (
        r"^(mmcs-train .*)$",
        r"\1 data.batch_size=16 data.num_workers=0 trainer.max_epochs=1 trainer.check_val_every_n_epoch=1",
        "forty epochs take minutes",
    ),
    (r"n_trials=30", "n_trials=2", "thirty trainings take minutes"),
    (r"--num-workers 8", "--num-workers 2", "a small machine has two cores"),
    (
        r"^(mmcs data prepare (?:xm3600|xtd10|multi30k|xflickrco|coco-karpathy) .*)$",
        r"\1 --allow-incomplete",
        "the sets made here have a handful of the official pictures",
    ),
)
# Words that the dictionaries, glossaries and queries of this world know.
GERMAN = {"dog": "Hund", "ball": "Ball", "house": "Haus"} | {
    english: names[0] for english, names in {**COLOURS, **SHAPES}.items()
}
FINNISH = {"dog": "koira", "ball": "pallo", "house": "talo"} | {
    english: names[1] for english, names in {**COLOURS, **SHAPES}.items()
}
CZECH = {"dog": "pes", "ball": "míč", "red": "červený"}


@dataclass(frozen=True)
class Command:
    """A command of a page: as it is written, continued lines joined, and the words in which the page says why it is not run."""

    page: Path
    line: str
    excuse: str | None

    @property
    def words(self) -> list[str]:
        return shlex.split(self.line.replace("…", ""))

    @property
    def slow(self) -> bool:
        return any(self.page.name == page and self.line.startswith(beginning) for page, beginning in SLOW)


def documented(page: Path) -> list[Command]:
    """The commands of ``page`` in its order: lines of its code blocks; of ``PROGRAMS``, code spans and indented lines, too.

    A line is excused by its remark, a block by the paragraph below it (one of ``EXCUSED_AS_A_WHOLE`` by any of its page), a code
    span by a sentence that holds it or its program alone, on any page: each says ``NOT_RUN``.
    """
    found, content = [], page.read_text("utf-8")
    for block, below, text in _parts(content):
        for line in block.replace("\\\n", " ").splitlines():
            command, _, remark = line.partition(" # ")
            if command.strip() and not command.startswith("#"):
                around = [remark, below, *(_sentences(content) if page.name in EXCUSED_AS_A_WHOLE else [])]
                excuse = next((said for said in around if NOT_RUN in said), None)
                found.append(Command(page, " ".join(command.split()), excuse))
        for spanned, indented in re.findall(r"`([^`\n]+)`|^    (\S.*)$", text, re.MULTILINE):
            line = spanned or indented
            program, _, arguments = line.partition(" ")
            if program in PROGRAMS and arguments:
                said = (s for s in excuses() if f"`{line}`" in s or f"`{program}`" in s)
                found.append(Command(page, line, next(said, None)))
    return found


def _parts(text: str) -> list[tuple[str, str, str]]:
    """In the page's order: a code block with the paragraph below it, or the text between two blocks."""
    parts = re.split(
        r"^```\n(.*?)^```\n",
        re.sub(r"^~~~.*?^~~~\n", "", text, flags=re.DOTALL | re.MULTILINE),
        flags=re.DOTALL | re.MULTILINE,
    )
    found = [("", "", parts[0])]
    for block, after in zip(parts[1::2], parts[2::2], strict=True):
        found += [(block, after.strip().partition("\n\n")[0], ""), ("", "", after)]
    return found


def excuses() -> list[str]:
    """The sentences of all pages that say of something that it is not run."""
    return [said for page in PAGES for said in _sentences(page.read_text("utf-8")) if NOT_RUN in said]


def _sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.!?])\s+|\n\n", text)


class World:
    """A folder in which a page's commands run, one after the other, as its working directory.

    Args:
        folder: an empty folder.
        runs: for ``outputs/EXPERIMENT/RUN`` that the page's own commands have not written, and for a mere ``RUN``.
    """

    def __init__(self, folder: Path, runs: Runs | None = None) -> None:
        self.folder, self.runs = folder, runs
        self.cache = runs.world.cache if runs else folder / "cache"
        furnish(folder)

    def run(self, command: Command) -> None:
        """Runs it; an exit code other than 0 is a failure."""
        line = command.line
        for pattern, replacement, _ in SUBSTITUTIONS:
            line = re.sub(pattern, replacement, line)
        line = self._placed(line)
        program, *arguments = shlex.split(line)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            patch.setenv("MMCS_CACHE", str(self.cache))
            patch.setenv("PATH", str(self.folder / "bin"), prepend=":")
            patch.setattr(sys, "argv", [program, *arguments])
            if program in ("mmcs", "mmcs-train"):
                code = {"mmcs": mmcs, "mmcs-train": mmcs_train}[program](arguments)
                assert code == 0, f"{command.page.name}: {line}: exit code {code}"
            elif program == "ir_measures":
                runpy.run_module(program, run_name="__main__")
            elif program == "python":
                script, *words = arguments
                sys.argv[:] = [script, *(str(name) for word in words for name in [*Path().glob(word)] or [word])]
                runpy.run_path(script, run_name="__main__")
            else:
                pytest.fail(f"{command.page.name}: {line}: neither run nor said why not (“… {NOT_RUN}”)")

    def _placed(self, line: str) -> str:
        """With the page's placeholders replaced by what lies here."""
        for experiment in re.findall(r"outputs/(\w+)/RUN\b", line):
            line = line.replace(f"outputs/{experiment}/RUN", str(self._run_of(experiment)), 1)
        for experiment in ("two_view", "zero_shot"):
            if re.search(r"\bRUN\b", line):
                line = re.sub(r"\bRUN\b", str(self._run_of(experiment)), line, count=1)
        if "--at-step 500" in line:
            (kept,) = (self._run_of("two_view") / "validation").glob("step_*.npz")
            line = line.replace("--at-step 500", f"--at-step {int(kept.stem.partition('_')[2])}")
        if line.startswith("ir_measures FILE"):
            run = next(self.folder.glob("outputs/mine/retrieval/*.run.gz"))
            line = line.replace("FILE", str(run).removesuffix(".run.gz"))
        if line.startswith("python example.py"):
            (example,) = self.folder.rglob("example.py")
            line = line.replace("example.py", str(example)).replace("*.jpg", "pictures/*_huge.jpg")
        return line

    def _run_of(self, experiment: str) -> Path:
        own = sorted((self.folder / "outputs" / experiment).glob("*"))
        if own:
            return own[-1]
        assert self.runs is not None
        return self.runs.of(experiment)


class Runs:
    """Trainings of the small model on ``data/mine`` of a world, made when they are asked for."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder)
        self._run("mmcs data prepare table --images pictures/ --captions captions.csv --test 0.2 --out data/mine")
        (folder / "data" / "mine" / "all").symlink_to("train")

    def of(self, experiment: str) -> Path:
        folder = self.world.folder / "outputs" / experiment / "made_here"
        if not folder.exists():
            suites = "eval=suites 'eval.val={mine: data/mine/val}' 'eval.test={mine: data/mine/test}'"
            data = f"data=shards data.train_shards=data/mine/train {suites} {SMALL} model.lock_image=false"
            self._run(f"mmcs-train experiment={experiment} {data} hydra.run.dir={folder}")
        return folder

    def _run(self, line: str) -> None:
        self.world.run(Command(ROOT / "README.md", line, None))


def furnish(folder: Path) -> None:
    """Every path that the pages name and do not make, and a stand-in for apt-get that hands out packages made here."""
    (folder / "model.json").write_text(
        json.dumps(
            {
                "embed_dim": 32,
                "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
                "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
            }
        )
    )
    _pictures(folder)
    for name, train, val, test in (("stamps", [12, 20], [26], [20, 32]), ("emoji", [15], [18], [23])):
        for split, sizes in (("train", train), ("val", val), ("test", test)):
            write_shard(folder / "data" / name / split / "00000.tar", sizes)
    _packages(folder)
    _lexicon_sources(folder)
    _official_sets(folder)
    _beir_sets(folder)
    _lines(
        folder / "results.csv", "image_name| comment_number| comment", '1.jpg| 0| "Two dogs run .', "2.jpg| 0| A cat ."
    )
    _lines(folder / "queries.txt", "a red circle", "two dogs")
    _lines(folder / "my_terms.txt", "red", "de\trot")
    _lines(folder / "my_distances.csv", "language,distance", "de,0.2", "fi,0.6")


def _lines(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = ("\n".join(lines) + "\n").encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def _pictures(folder: Path) -> None:
    """A hundred pictures, each of its own concept, and their captions in three languages as a CSV."""
    (folder / "pictures").mkdir()
    with (folder / "captions.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "caption", "de", "fi"])
        for size, radius in {"tiny": 8, "small": 14, "middling": 20, "large": 26, "huge": 32}.items():
            for colour, (de, fi, rgb) in COLOURS.items():
                for shape, (shape_de, shape_fi) in SHAPES.items():
                    name = f"{colour}_{shape}_{size}.jpg"
                    (folder / "pictures" / name).write_bytes(picture(rgb, shape, radius))
                    rows.writerow(
                        [name, f"A {size} {colour} {shape}.", f"{size} {de} {shape_de}", f"{size} {fi} {shape_fi}"]
                    )


def _packages(folder: Path) -> None:
    """Debian packages: dictionaries and CLDR, also under the name that docs/lexicons.md gives one of them."""
    packages, bin_ = folder / "packages", folder / "bin"
    bin_.mkdir()
    packages.mkdir()
    back = {german: english for english, german in GERMAN.items()}
    for pair, words in {"eng-deu": GERMAN, "eng-fin": FINNISH, "eng-ces": CZECH, "deu-eng": back}.items():
        entries = [(word, f"{word} <n>\n{translation}\n") for word, translation in sorted(words.items())]
        entries.append(("chase", "chase <v>\njagen\n"))
        prefix = dictionary(packages / pair, entries, f"freedict-{pair}")
        files = {f"./usr/share/dictd/{file.name}": file.read_bytes() for file in prefix.parent.iterdir()}
        build_deb(packages / f"dict-freedict-{pair}.deb", files)
    names = {
        language: xml({"🦓": f"zebra ({language})", "🐢": f"turtle ({language})"}) for language in ("sw", "bn", "te")
    }
    inside = "./usr/share/unicode/cldr/common/annotations"
    build_deb(
        packages / "unicode-cldr-core.deb",
        {f"{inside}/{language}.xml": content.encode() for language, content in names.items()},
    )
    shutil.copy(packages / "dict-freedict-eng-deu.deb", folder / "dict-freedict-eng-deu_2022.04.21-1_all.deb")
    (bin_ / "apt-get").write_text(f'#!/bin/sh\nfor package; do :; done\ncp "{packages}/$package.deb" .\n')
    (bin_ / "apt-get").chmod(0o755)
    with tarfile.open(folder / "freedict-eng-deu-2022.04.06.src.tar.xz", "w:xz") as tar:
        tar.add(tei(packages, DOG), "eng-deu/eng-deu.tei")


def _lexicon_sources(folder: Path) -> None:
    """What docs/lexicons.md builds lexicons of, a lexicon of the reader's own, and the demo's."""
    german = [f"{word} {translation}" for word, translation in GERMAN.items()]
    _lines(folder / "en-de.txt", *german)
    _lines(folder / "german.txt.gz", *german)
    _lines(folder / "en-fi.txt", *(f"{word} {translation}" for word, translation in FINNISH.items()))
    write_dumps(folder, TITLES, LINKS)
    _lines(folder / "titles.en-de.tsv", *(line.replace(" ", "\t") for line in german))
    _lines(folder / "pairs.tsv", *(line.replace(" ", "\t") for line in german))
    _lines(folder / "glossary.csv", "en,de,sw", "dog,Hund|Köter,mbwa", "ball,Ball,", "house,Haus,nyumba")
    _lines(folder / "terms.csv", "en;Bezeichnung;notes", "running shoe;Laufschuh m;new", '"dog\nhound";Hund, Köter;')
    _vectors(folder)
    lexicon = ["lexicon", "build", "tsv", str(folder / "pairs.tsv"), "--languages", "en,de"]
    for path in (folder / "own.lex", folder / "data" / "lexicons" / "freedict.lex"):
        assert mmcs([*lexicon, "--out", str(path)]) == 0


def _vectors(folder: Path) -> None:
    """Word vectors of three languages, each turned another way, some words spelt alike; dictionaries of the others."""
    draw, count = np.random.default_rng(0), 200
    names = ["".join("abcdefghij"[int(digit)] for digit in f"{number:03d}") for number in range(count)]
    points = draw.normal(size=(count, 20))
    for file, mark in {
        "wiki.en": "e",
        "wiki.de": "d",
        "wiki.sw": "s",
        "wiki.multi.en": "e",
        "wiki.multi.de": "d",
    }.items():
        turn = np.eye(20) if "multi" in file else np.linalg.qr(draw.normal(size=(20, 20)))[0]
        rows = (points + 0.05 * draw.normal(size=points.shape)) @ turn
        words = [name if number < 60 else mark + name for number, name in enumerate(names)]
        vectors = [f"{word} " + " ".join(f"{x:.5f}" for x in row) for word, row in zip(words, rows, strict=True)]
        _lines(folder / f"{file}.vec", f"{count} 20", *vectors)
    for file, part in {"en-de.0-5000.txt": names[60:120], "en-de.5000-6500.txt": names[120:]}.items():
        _lines(folder / file, *(f"e{name} d{name}" for name in part))


def _official_sets(folder: Path) -> None:
    """A handful of pictures of each set of docs/suites.md, under the names that the page gives files and folders."""
    places = {
        suite_folders.xm3600: ("xm3600/images", "xm3600"),
        suite_folders.xtd10: ("coco", "Cross-lingual-Test-Dataset-XTD10"),
        suite_folders.multi30k: ("", "dataset"),
        suite_folders.xflickrco: ("", "iglue"),
        suite_folders.karpathy: ("coco", ""),
    }
    for make, (images, captions) in places.items():
        made = make(folder / "official" / make.__name__)
        shutil.copytree(made / "images", folder / images, dirs_exist_ok=True)
        shutil.copytree(made / "captions", folder / captions, dirs_exist_ok=True)
    shutil.copytree(folder / "flickr30k", folder / "flickr30k-images", dirs_exist_ok=True)
    shutil.move(folder / "flickr30k-images" / "5.jpg", folder / "coco" / "5.jpg")  # of the test set out of COCO


def _beir_sets(folder: Path) -> None:
    """Three documents, two queries, and judgments in each of the forms that docs/evaluation-beir.md names."""
    documents = {"d1": "a red circle", "d2": "two dogs", "d3": "a house in snow"}
    queries = {"q1": "red circle", "q2": "dogs"}
    table = ["query-id\tcorpus-id\tscore", "q1\td1\t1", "q2\td2\t1"]
    objects = [json.dumps({"query-id": q, "corpus-id": d, "score": 1}) for q, d in (("q1", "d1"), ("q2", "d2"))]
    for name, qrels, lines in (
        ("scifact", "test.tsv", table),
        ("Hindi_NQ", "test.jsonl", objects),
        ("Hindi_cc_news", "val.tsv", table),
    ):
        place = folder / "data" / name
        _lines(place / "corpus.jsonl", *(json.dumps({"_id": id_, "text": text}) for id_, text in documents.items()))
        _lines(place / "queries.jsonl", *(json.dumps({"_id": id_, "text": text}) for id_, text in queries.items()))
        _lines(place / "qrels" / qrels, *lines)
