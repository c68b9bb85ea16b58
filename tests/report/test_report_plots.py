"""What the report draws, out of plain dictionaries: marks and colours that can be read by everyone, names that can be read at all."""

from __future__ import annotations

import base64
import io
import math
import re

import pytest
from PIL import Image

from mmcs.evaluation.proximity import Distances, proximity
from mmcs.report.heat_map import difference_map, heat_css, most_of, share_map
from mmcs.report.picture import SIDE, thumbnail
from mmcs.report.plot import difference_plot, dot_plot, looks
from mmcs.report.proximity_plot import proximity_plot
from mmcs.report.proximity_words import correlations, relation

SETS = [["en"], ["de", "hi"], ["he"]]


def luminance(colour):
    """Relative luminance of ``#rrggbb`` or ``#rgb`` by WCAG's formula."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    channels = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_text_on_every_colour_of_a_heat_map_can_be_read():
    rules = re.findall(r"\.(\S+) \{ background: (#\w+); color: (#\w+); \}", heat_css())
    assert len(rules) == 11 + 13
    assert min(contrast(paper, ink) for _, paper, ink in rules) >= 4.5
    shades = [luminance(paper) for kind, paper, _ in rules if kind.startswith("s")]
    assert shades == sorted(shades, reverse=True) and shades[0] > 0.9


def test_marks_stand_out_in_light_and_dark():
    colours = [look.colour for look in looks([str(number) for number in range(8)]).values()]
    assert all(contrast(colour, paper) >= 3 for colour in colours for paper in ("#ffffff", "#0f1318"))
    own = looks(["a", "b", "c"])
    assert len({look.mark for look in own.values()}) == len({look.sign for look in own.values()}) == 3


def test_a_heat_map_of_differences_is_symmetric_about_zero_and_knows_what_is_missing():
    first = {("en", "de"): 0.5, ("de", "en"): 0.3, ("en", "hi"): 0.4}
    second = {("en", "de"): 0.4, ("de", "en"): 0.4, ("en", "hi"): 0.4, ("hi", "en"): 0.9}
    own = difference_map("t", first, second, ["en", "de", "hi"])
    rows = [[cell and (cell.text, cell.kind) for cell in row] for row in own.rows]
    assert rows == [[None, ("+10", "d6"), ("0", "d0")], [("−10", "d-6"), None, None], [None, None, None]]
    assert [step.text for step in own.scale] == ["−10", "−5", "0", "+5", "+10"]
    small = difference_map("t", {("en", "de"): 0.401}, {("en", "de"): 0.4}, ["en", "de"])
    assert small.rows[0][1].text == "0" and small.rows[0][1].kind == "d0"


def test_heat_maps_of_shares_share_a_scale():
    one, other = {("en", "de"): 0.41}, {("en", "de"): 0.83}
    most = most_of([one, other])
    assert most == pytest.approx(0.9)
    maps = [share_map("t", own, ["en", "de"], most) for own in (one, other)]
    assert [own.rows[0][1].text for own in maps] == ["41", "83"] and [own.rows[0][1].kind for own in maps] == [
        "s5",
        "s9",
    ]
    assert maps[0].scale == maps[1].scale and maps[0].scale[-1].text == "90"
    assert share_map("t", {("en", "de"): 0.0}, ["en", "de"], 0.0).rows[0][1].text == "0"


def test_what_cannot_be_told_has_a_hollow_mark_and_no_bounds_draw_no_bar():
    series = {"two <views>": {"en": (0.01, -0.01, 0.03), "de": (0.05, 0.03, 0.07), "hi": (0.02, -math.inf, math.inf)}}
    svg = difference_plot(series, {"two <views>": ["de"]}, SETS, looks(series), 'say "so" & <so>', "x")
    assert "Infinity" not in svg and "nan" not in svg
    assert 'aria-label="say &quot;so&quot; &amp; &lt;so&gt;"' in svg and 'role="img"' in svg
    assert "worse ← difference in points → better" in svg and "German" in svg
    marks = re.findall(r'<use [^>]*style="([^"]*)"', svg)
    assert ["fill-opacity: 0" in mark for mark in marks] == [True, False, True]  # only German is told
    assert svg.count('id="x-LineCollection') == 2


def test_a_plot_is_the_same_each_time_and_takes_the_colour_of_the_page():
    series = {name: dict.fromkeys(("en", "de", "hi", "he"), (0.3, 0.2, 0.4)) for name in ("a", "b")}
    first, second = (dot_plot(series, SETS, looks(series), "t", "x") for _ in range(2))
    assert first == second and "currentColor" in first
    assert not re.search(r"https?:|xmlns|<metadata", first)
    assert all(name.startswith("x-") for name in re.findall(r'\bid="([^"]+)"', first))


def test_names_beside_dots_do_not_cover_each_other():
    points = {"de": (0.2, 0.02), "sv": (0.2, 0.021), "fi": (0.6, 0.05), "hu": (0.61, 0.05), "he": (0.4, -0.01)}
    svg = proximity_plot(points, {"seen": ["de", "sv"], "unseen": ["fi", "hu", "he"]}, "t", "x")
    found = re.findall(
        r'<text[^>]*?(?:x="([\d.]+)" y="([\d.]+)"|translate\(([\d.]+) ([\d.]+)\))[^>]*>([^<]+)</text>', svg
    )
    places = {name: (float(x or tx), float(y or ty)) for x, y, tx, ty, name in found}
    assert {"German", "Swedish", "Finnish", "Hungarian", "Hebrew"} <= places.keys()
    for one, other in (("German", "Swedish"), ("Finnish", "Hungarian")):
        (x, y), (u, v) = places[one], places[other]
        assert abs(y - v) >= 8 or abs(x - u) >= 45


def test_whether_gains_go_with_distance_is_said_or_left_open():
    distances = Distances(
        dict(zip(["de", "nl", "sv", "fr", "es", "it", "ru", "fi", "hu", "tr", "ja"], range(1, 12), strict=True)),
        "made up",
    )
    rising = proximity({tag: 0.01 * value for tag, value in distances.values.items()} | {"xx": 0.2}, distances)
    assert relation(rising) == "Gains rise with the distance from English."
    falling = proximity({tag: -0.01 * value for tag, value in distances.values.items()}, distances)
    assert relation(falling) == "Gains fall with the distance from English."
    wild = [3, -2, 4, -1, 2, -3, 1, 0, -4, 2, 1]
    neither = proximity(dict(zip(distances.values, wild, strict=True)), distances)
    assert relation(neither).startswith("From these 11 languages it cannot be told")
    assert correlations(rising).startswith("Pearson’s r +1.00 [+1.00, +1.00], p < 0.001; Spearman’s ρ +1.00")
    assert correlations(rising).endswith("11 languages. Distances: made up. Without a distance: xx.")
    few = proximity({"de": 0.1, "fi": 0.2}, distances)
    assert "4 are needed" in relation(few) and correlations(few) == "Distances: made up."


def decoded(uri):
    assert uri.startswith("data:image/webp;base64,")
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB")


def encoded(image, kind="PNG"):
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def test_pictures_are_made_small_on_white_and_keep_their_shape():
    wide = decoded(thumbnail(encoded(Image.new("RGB", (640, 320), (200, 30, 30)), "JPEG")))
    assert wide.size == (SIDE, SIDE // 2)
    clear = decoded(thumbnail(encoded(Image.new("RGBA", (300, 300), (0, 0, 0, 0)))))
    assert min(min(pixel) for pixel in clear.getdata()) > 250
    assert decoded(thumbnail(encoded(Image.new("RGB", (20, 10))))).size == (20, 10)  # never made larger
    pytest.importorskip("resvg_py")
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40"><rect width="20" height="40" fill="#00f"/></svg>'
    drawn = decoded(thumbnail(svg))
    assert drawn.getpixel((10, 50))[2] > 200 and min(drawn.getpixel((100, 50))) > 250


def test_what_cannot_be_decoded_is_no_picture():
    assert thumbnail(None) is None and thumbnail(b"") is None and thumbnail(b"not an image") is None
    assert thumbnail(encoded(Image.new("RGB", (50, 50)))[:60]) is None and thumbnail(b"<svg") is None
