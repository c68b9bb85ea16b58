"""An exception's words are the same in every run: no addresses, one line, bounded."""

import io

from PIL import Image, UnidentifiedImageError

from mmcs.common.library_error import words_of


def test_no_address_of_an_object_is_left() -> None:
    try:
        Image.open(io.BytesIO(b"no image"))
    except UnidentifiedImageError as error:
        assert words_of(error) == "UnidentifiedImageError: cannot identify image file"
    assert words_of(OSError("broken at 0xdeadbeef00 in <a.B object at 0x1234>")) == "OSError: broken at 0x… in"


def test_the_words_are_one_bounded_line() -> None:
    assert words_of(ValueError("a\n  b\tc")) == "ValueError: a b c"
    assert words_of(KeyError()) == "KeyError"
    assert len(words_of(ValueError("x" * 5000))) == 200
