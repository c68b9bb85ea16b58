"""A real run logs the contract's names, keeps every query's rank, and shows TensorBoard a table and pictures."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pytest
import torch
from recall_runs import configuration, events, fit, fit_in_processes, image, write_suite

from mmcs.callbacks.contact_sheet import TILE
from mmcs.callbacks.examples import balanced
from mmcs.errors import UserError
from mmcs.evaluation.validation import read_validation, write_validation
from mmcs.retrieval.ranks import recall_at, top_k
from mmcs.stream.batch import stable_id

LANGUAGES = ("en", "de", "fi", "he", "hi")  # not sw, whose only caption stands at a damaged picture
SETS = {"all": LANGUAGES, "seen": ("de",), "unseen": ("fi", "he", "hi"), "non_english": LANGUAGES[1:]}
TASKS = ("image_retrieval", "text_retrieval")
GREEN = (0x1A, 0x7F, 0x37)


@pytest.fixture(scope="module")
def suites(tmp_path_factory):
    return f"{{shapes: {write_suite(tmp_path_factory.mktemp('data') / 'shapes' / 'val')}}}"


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMCS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def run(world, suites, tmp_path_factory):
    """A run's folder and its trainer, after two epochs of five steps."""
    folder = tmp_path_factory.mktemp("run") / "one"
    return folder, fit(configuration(world, suites), folder)


def logged(folder):
    """Of each validation the recalls by name, out of ``metrics.csv``."""
    with (folder / "metrics.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    recalls = [{name: float(value) for name, value in row.items() if value and name[:4] == "val/"} for row in rows]
    return list(filter(None, recalls))


def embedded(trainer):
    """What the run's model makes of its suite."""
    from mmcs.evaluation.evaluate import embed_suite

    suite = trainer.datamodule.suites[0]
    return embed_suite(trainer.lightning_module.towers, suite)[0]


def test_the_names_are_the_contracts_and_the_figures_those_of_the_kept_ranks(run):
    folder, _ = run
    validations = read_validation(folder)
    assert list(validations) == [5, 10] and validations.seen == ["de"]
    for ranks, figures in zip(validations.values(), logged(folder), strict=True):
        assert set(ranks) == {("shapes", language, task) for language in LANGUAGES for task in TASKS}
        expected = {}
        for task in TASKS:
            for k in (1, 5, 10):
                own = {
                    language: recall_at(torch.from_numpy(ranks["shapes", language, task].ranks), k)
                    for language in LANGUAGES
                }
                means = {name: np.mean([own[language] for language in members]) for name, members in SETS.items()}
                expected |= {f"val/shapes/{name}/{task}_recall@{k}": value for name, value in (own | means).items()}
        assert figures == pytest.approx(expected, abs=1e-6)


def test_kept_ranks_are_those_of_the_evaluation_query_by_query(run):
    """By the ids that results and shards know: ``source/shard/key`` of an image, ``…#k`` of a caption."""
    folder, trainer = run
    suite = embedded(trainer)
    ranks = read_validation(folder)[10]
    images = torch.nn.functional.normalize(suite.images, dim=1)
    for language in LANGUAGES:
        texts = suite.texts[language]
        scores = torch.nn.functional.normalize(texts.embeddings, dim=1) @ images.T
        right = torch.tensor([[group == other for other in suite.image_groups] for group in texts.groups])
        for task, table, mask, ids, groups in (
            ("image_retrieval", scores, right, texts.ids, texts.groups),
            ("text_retrieval", scores.T, right.T, suite.image_ids, suite.image_groups),
        ):
            best = table.masked_fill(~mask, -2).max(1, keepdim=True).values
            found = 1 + ((table >= best) & ~mask).sum(1)
            naive = {stable_id(ids[i]): (stable_id(groups[i]), int(found[i])) for i in range(len(ids)) if mask[i].any()}
            kept = ranks["shapes", language, task]
            assert dict(zip(kept.ids, zip(kept.groups, kept.ranks, strict=True), strict=True)) == naive


def test_tensorboard_has_the_table_and_it_holds_the_logged_figures(run):
    folder, _ = run
    (text,) = [tag for tag in events(folder).Tags()["tensors"] if tag.startswith("recall/shapes")]
    shown = events(folder).Tensors(text)
    assert [event.step for event in shown] == [5, 10]
    lines = shown[-1].tensor_proto.string_val[0].decode().split("\n")
    assert lines[0].startswith("| recall in % | text → image R@1 |") and len({line.count("|") for line in lines}) == 1
    names = [line.split("|")[1].strip() for line in lines[2:]]
    assert names[:4] == [
        "**mean of all (5)**",
        "**mean of seen (1)**",
        "**mean of unseen (3)**",
        "**mean of non-english (4)**",
    ]
    assert names[4:] == [
        "English (en)",
        "German (de), seen",
        "Finnish (fi), unseen",
        "Hebrew (he), unseen",
        "Hindi (hi), unseen",
    ]
    figures = logged(folder)[-1]
    for line, name in zip(lines[2:], [*SETS, *LANGUAGES], strict=True):
        expected = [figures[f"val/shapes/{name}/{task}_recall@{k}"] for task in TASKS for k in (1, 5, 10)]
        assert [float(cell) / 100 for cell in line.split("|")[2:-1]] == pytest.approx(expected, abs=0.00051)


def test_pictures_show_the_same_queries_each_time_and_frame_the_right_images(run):
    folder, trainer = run
    board = events(folder)
    assert sorted(board.Tags()["images"]) == sorted(f"retrieved/shapes/{language}" for language in LANGUAGES)
    suite = embedded(trainer)
    images = torch.nn.functional.normalize(suite.images, dim=1)
    codes = {group: number for number, group in enumerate(suite.image_groups)}
    for language in LANGUAGES:
        first, last = (image(event) for event in board.Images(f"retrieved/shapes/{language}"))
        assert [event.step for event in board.Images(f"retrieved/shapes/{language}")] == [5, 10]
        assert (first[40:] == last[40:]).all()  # below the title: no weight has changed between the two
        texts = suite.texts[language]
        lowest = sorted(set(texts.groups), key=stable_id)[:3]
        rows = [
            min((i for i, own in enumerate(texts.groups) if own == group), key=lambda i: stable_id(texts.ids[i]))
            for group in lowest
        ]
        groups = [
            torch.tensor([codes[group] for group in own])
            for own in ([texts.groups[i] for i in rows], suite.image_groups)
        ]
        found, _ = top_k(torch.nn.functional.normalize(texts.embeddings[rows], dim=1), images, *groups, k=5)
        right = groups[1][found] == groups[0][:, None]
        # Frames run along the tiles' left sides: 4 pixels of green where the image is right.
        tops = [30 + row * (TILE + 8) for row in range(3)]
        lefts = [10 + 216 + 8 + column * (TILE + 8) for column in range(5)]
        framed = [[(last[top + 40, left : left + 4] == GREEN).all() for left in lefts] for top in tops]
        assert framed == right.tolist(), language
        assert right.any()


def test_every_tile_holds_the_picture_out_of_the_shard(run):
    folder, _ = run
    sheet = image(events(folder).Images("retrieved/shapes/en")[0])
    lefts = [10 + 216 + 8 + column * (TILE + 8) for column in range(5)]
    for top in (30, 126, 222):
        for left in lefts:
            inside = sheet[top + 22 : top + TILE - 6, left + 6 : left + TILE - 6].reshape(-1, 3)
            assert (inside.max(1).astype(int) - inside.min(1) > 60).any() or inside.min() < 60  # coloured, or black


def test_without_pictures_or_tensorboard_the_ranks_are_kept_all_the_same(world, suites, tmp_path):
    fit(configuration(world, suites, "callbacks.recall.queries_shown=0", "trainer.max_epochs=1"), tmp_path / "a")
    tags = events(tmp_path / "a").Tags()
    assert not tags["images"] and "recall/shapes/text_summary" in tags["tensors"]
    fit(configuration(world, suites, "logger.tensorboard=false", "trainer.max_epochs=1"), tmp_path / "b")
    assert list(read_validation(tmp_path / "a")) == list(read_validation(tmp_path / "b")) == [5]
    assert not (tmp_path / "b" / "tensorboard").exists()


def test_a_sanity_check_and_a_validation_of_its_own_leave_nothing(world, suites, tmp_path, capsys):
    config = configuration(world, suites, "trainer.num_sanity_val_steps=1", "trainer.max_epochs=1", "data.batch_size=4")
    trainer = fit(config, tmp_path)
    assert capsys.readouterr().out.count("shapes R@10 in %") == 1
    assert list(read_validation(tmp_path)) == [20] and len(logged(tmp_path)) == 1
    assert [event.step for event in events(tmp_path).Images("retrieved/shapes/de")] == [20]
    (path,) = (tmp_path / "validation").iterdir()
    path.unlink()
    trainer.validate(trainer.lightning_module, trainer.datamodule, verbose=False)
    assert list(read_validation(tmp_path)) == []


def test_a_resumed_run_writes_again_what_it_repeats_and_forgets_what_another_attempt_left(world, suites, run, tmp_path):
    shutil.copytree(run[0], tmp_path / "run")
    folder = tmp_path / "run"
    kept = read_validation(folder)[10]
    for step in (7, 12, 15):
        write_validation(folder, step, {})
    (folder / "validation" / "step_00000005.npz").write_bytes(b"of before: left as it is")
    resume = f"resume={folder}/checkpoints/last.ckpt"
    fit(configuration(world, suites, resume, "trainer.max_epochs=3"), folder)
    validations = read_validation(folder)
    assert list(validations) == [5, 7, 10, 15]  # 12 was not the run's own; 15 is, anew
    for key, queries in validations[15].items():
        assert np.array_equal(queries.ids, kept[key].ids) and np.array_equal(queries.ranks, kept[key].ranks)


def names_and_figures(trainer):
    """What one process logged, in its order."""
    return [[name, float(value)] for name, value in trainer.callback_metrics.items() if name.startswith("val/")]


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "batch_size"), [(2, 4), (3, 8)], ids=["two", "three"])
def test_processes_log_keep_and_show_what_one_does(world, suites, run, tmp_path, processes, batch_size):
    """Shards of 5, 1 and 3 samples: a batch of one process is empty in the end; of three, one never sees a sample."""
    folder, trainer = run
    config = configuration(world, suites, f"data.batch_size={batch_size}", "trainer.max_epochs=1")
    told = fit_in_processes(config, tmp_path / "run", processes, names_and_figures)
    assert told == [names_and_figures(trainer)] * processes
    one, several = read_validation(folder)[5], list(read_validation(tmp_path / "run").values())
    assert len(several) == 1 and several[0].keys() == one.keys()
    for key, queries in one.items():
        for name, values in vars(queries).items():
            assert np.array_equal(values, getattr(several[0][key], name)), (key, name)
    boards = [events(folder), events(tmp_path / "run")]
    assert boards[0].Tags()["images"] == boards[1].Tags()["images"]
    for tag in boards[0].Tags()["images"]:
        alone, together = (image(board.Images(tag)[0]) for board in boards)
        assert np.array_equal(alone[40:], together[40:]), tag  # below the title, which names the step


def test_languages_are_shown_in_turn():
    languages = ["en", "ar", "de", "fi", "he", "ja", "ru"]
    assert balanced(languages, ["de", "fi", "xx"], 4) == ["en", "de", "ar", "fi"]
    assert balanced(languages, ["de"], 99) == ["en", "de", "ar", "fi", "he", "ja", "ru"]
    assert balanced(languages, [], 2) == ["en", "ar"] and balanced(["de"], ["de"], 3) == ["de"]
    assert balanced(languages, languages, 0) == []


def test_a_number_that_makes_no_sense_is_one_sentence(world, suites, tmp_path):
    with pytest.raises(UserError, match=r"callbacks\.recall\.queries_shown is a number, 0 for no pictures; got -1"):
        fit(configuration(world, suites, "callbacks.recall.queries_shown=-1"), tmp_path)
