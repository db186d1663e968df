"""Media: what can be given, what it becomes, and how it comes into the spool."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import subprocess
import sys
import wave
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.support.lanes import needs_module
from tracehouse.exceptions import ClaudeMonitorError, MediaError, MediaTooLarge, MediaUnreadable
from tracehouse.media import Audio, Html, Image, Video
from tracehouse.mediafile import MAX_BYTES
from tracehouse.spool import layout

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
JPEG = b"\xff\xd8\xff\xe0" + bytes(20)
MOV = b"\0\0\0\x14ftypqt  \0\0\0\0"


def test_bytes_are_kept_and_their_type_is_found() -> None:
    image = Image(JPEG, caption="a cat")
    assert (image.bytes, image.mime, image.caption, image.media_type) == (JPEG, "image/jpeg", "a cat", "image")
    assert (Video(MOV).mime, Video(MOV).media_type) == ("video/quicktime", "video")


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview, io.BytesIO])
def test_bytes_come_in_many_coats(wrap: Any) -> None:
    assert Image(wrap(PNG)).bytes == PNG


def test_what_is_not_known_is_png_or_mp4() -> None:
    assert (Image(b"?").mime, Video(b"?").mime, Image(b"").mime) == ("image/png", "video/mp4", "image/png")
    assert Image(MOV).mime == "image/png"


def test_the_format_of_bytes_can_be_named() -> None:
    assert Image(b"?", format="jpg").mime == "image/jpeg"
    assert Video(b"?", format="mov").mime == "video/quicktime"
    with pytest.raises(MediaError, match="format must be a name like 'png'"):
        Image(b"?", format="a b\n")


def test_later_changes_of_the_users_bytes_do_not_matter() -> None:
    data = bytearray(PNG)
    image = Image(data)
    data[:] = b""
    assert image.bytes == PNG


def test_an_open_file_is_taken_from_its_beginning_and_left_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(PNG)
    with path.open("rb") as file:
        file.seek(5)
        assert Image(file).bytes == PNG
        assert file.tell() == 5


@pytest.mark.parametrize("as_given", [str, Path])
def test_a_path_tells_its_type_and_is_read_when_it_is_wanted(tmp_path: Path, as_given: Any) -> None:
    path = tmp_path / "a.JPG"
    path.write_bytes(PNG)
    image = Image(as_given(path))
    assert image.mime == "image/jpeg"
    path.write_bytes(JPEG)
    assert image.bytes == JPEG


def test_a_path_whose_name_tells_nothing_is_looked_into(tmp_path: Path) -> None:
    path = tmp_path / "figure.dat"
    path.write_bytes(b"<svg></svg>")
    assert Image(path).mime == "image/svg+xml"
    other = tmp_path / "clip.png"
    other.write_bytes(MOV)
    assert Video(other).mime == "video/quicktime"


def test_an_image_is_an_image_already() -> None:
    once = Image(JPEG, caption="first")
    assert (Image(once).bytes, Image(once).mime, Image(once).caption) == (JPEG, "image/jpeg", "first")
    assert Image(once, caption="second").caption == "second"
    with pytest.raises(MediaError, match=r"cm\.Video: pass a file path or raw bytes\."):
        Video(once)


@pytest.mark.parametrize("data", [5, None, object(), ["a.png"], {"a": 1}])
def test_e3_other_data_are_a_type_error_with_the_published_text(data: object) -> None:
    with pytest.raises(TypeError) as raised:
        Image(data)
    assert str(raised.value) == (
        f"cm.Image: unsupported data {type(data)} — pass a file path, raw bytes, a PIL Image, or a numpy array."
    )
    assert isinstance(raised.value, ClaudeMonitorError)
    with pytest.raises(TypeError, match=r"cm\.Video: pass a file path or raw bytes\."):
        Video(data)


@pytest.mark.parametrize("catch", [TypeError, OSError, ClaudeMonitorError])
def test_e3_a_missing_file_is_named(tmp_path: Path, catch: type[Exception]) -> None:
    with pytest.raises(catch, match=r"cannot read media file '.*absent\.png': No such file"):
        Image(tmp_path / "absent.png").spool_into(str(tmp_path / "media"))


def test_e3_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path, tmp_path / "pipe.png", Path("/dev/zero")):
        with pytest.raises(MediaUnreadable, match=r"directory|not a regular file"):
            Image(path).spool_into(str(tmp_path / "media"))
    with pytest.raises(MediaUnreadable, match="null"):
        Image("a\0.png").spool_into(str(tmp_path / "media"))


def test_e3_a_file_over_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "big.png"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES)
    assert len(Image(path).bytes) == MAX_BYTES
    os.truncate(path, MAX_BYTES + 1)
    with pytest.raises(MediaTooLarge, match=r"big\.png is 26,214,401 bytes.* at most 26,214,400"):
        Image(path).spool_into(str(tmp_path / "media"))
    assert not (tmp_path / "media").exists() or os.listdir(tmp_path / "media") == []


def test_e3_bytes_over_the_limit_are_refused() -> None:
    big = bytes(MAX_BYTES + 1)
    for data in (big, memoryview(big), io.BytesIO(big)):
        with pytest.raises(MediaTooLarge):
            Image(data)
    assert len(Image(big[:-1]).bytes) == MAX_BYTES


def check_spooled(media: Image | Video | Audio | Html, directory: Path, data: bytes, suffix: str) -> None:
    spooled = media.spool_into(str(directory))
    file = directory / spooled.file
    assert spooled == (hashlib.sha256(data).hexdigest(), len(data), f"{spooled.sha256}.{suffix}", media.mime)
    assert layout.is_media_name(spooled.file)
    assert file.read_bytes() == data
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert os.listdir(directory) == [spooled.file]


def test_the_spool_gets_a_file_named_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    data = os.urandom(3_000_000)
    path.write_bytes(data)
    check_spooled(Image(path), tmp_path / "s" / "media", data, "png")
    check_spooled(Image(data), tmp_path / "s" / "media", data, "png")
    check_spooled(Video(MOV), tmp_path / "v", MOV, "mov")


def test_a_file_that_is_there_is_used_again_and_one_cut_short_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    directory = tmp_path / "media"
    for media in (Image(path), Image(PNG)):
        file = directory / media.spool_into(str(directory)).file
        number = file.stat().st_ino
        check_spooled(media, directory, PNG, "png")
        assert file.stat().st_ino == number
        os.truncate(file, 3)
        check_spooled(media, directory, PNG, "png")


@pytest.mark.parametrize("as_path", [False, True])
def test_e2_a_file_whose_content_a_power_failure_has_taken_is_written_again(tmp_path: Path, as_path: bool) -> None:
    data = b"GIF89a" + b"x" * 1000
    (given := tmp_path / "a.gif").write_bytes(data)
    picture = Image(given if as_path else data)
    spooled = tmp_path / "media" / picture.spool_into(str(tmp_path / "media")).file
    spooled.write_bytes(bytes(len(data)))
    picture.spool_into(str(tmp_path / "media"))
    assert spooled.read_bytes() == data
    assert list((tmp_path / "media").iterdir()) == [spooled]


def test_what_grows_too_large_while_it_waits_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    image = Image(path)
    os.truncate(path, MAX_BYTES + 1)
    with pytest.raises(MediaTooLarge):
        image.spool_into(str(tmp_path / "media"))
    path.unlink()
    with pytest.raises(MediaUnreadable):
        image.spool_into(str(tmp_path / "media"))
    assert os.listdir(tmp_path / "media") == []


def test_threads_that_log_the_same_picture_share_its_file(tmp_path: Path) -> None:
    files: list[str] = []
    threads = [Thread(target=lambda: files.append(Image(PNG).spool_into(str(tmp_path / "m")).file)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert os.listdir(tmp_path / "m") == [files[0]]
    assert len(set(files)) == 1
    assert len(files) == 8


def test_the_spools_own_errors_are_no_media_errors(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for media in (Image(PNG), Image(__file__)):
        with pytest.raises(OSError, match=r"directory|exists") as raised:
            media.spool_into(str(tmp_path / "file" / "media"))
        assert not isinstance(raised.value, MediaError)


def test_html_is_text_a_path_or_bytes(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<p>file</p>")
    assert Html("<p>ü</p>").bytes == "<p>ü</p>".encode()
    assert Html("plain text.").bytes == b"plain text."
    assert Html(str(page)).bytes == Html(page).bytes == b"<p>file</p>"
    assert Html(io.StringIO("<p>open</p>")).bytes == b"<p>open</p>"
    assert {Html(data).mime for data in ("<p>", page, b"?")} == {"text/html"}
    assert Html("x").media_type == "html"


def test_audio_is_known_by_its_first_bytes() -> None:
    assert Audio(b"fLaC" + bytes(9)).mime == "audio/flac"
    assert Audio(b"?").mime == "audio/wav"
    assert Audio(b"?", format="mp3").mime == "audio/mpeg"
    assert Audio(b"?").media_type == "audio"


def decoded(data: bytes) -> Any:
    from PIL import Image as Pillow

    return Pillow.open(io.BytesIO(data))


def test_pillow_images_are_saved_as_png_or_as_told() -> None:
    needs_module("PIL")
    from PIL import Image as Pillow

    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "F", "I", "YCbCr"):
        picture = Pillow.new(mode, (4, 3))
        for format, mime in ((None, "image/png"), ("jpg", "image/jpeg"), ("webp", "image/webp"), ("bmp", "image/bmp")):  # noqa: A001
            image = Image(picture, format=format)
            assert image.mime == mime
            assert decoded(image.bytes).size == (4, 3)
    assert decoded(Image(Pillow.new("RGBA", (1, 1), (0, 0, 0, 0)), format="jpg").bytes).getpixel((0, 0)) == (255,) * 3
    with pytest.raises(MediaError, match="cannot be saved as 'nonsense'"):
        Image(Pillow.new("RGB", (1, 1)), format="nonsense")


def test_numpy_pictures_keep_their_pixels() -> None:
    needs_module("numpy")
    needs_module("PIL")
    import numpy as np

    rng = np.random.default_rng(5)
    for shape, mode in (((5, 7), "L"), ((5, 7, 1), "L"), ((5, 7, 2), "LA"), ((5, 7, 3), "RGB"), ((5, 7, 4), "RGBA")):
        pixels = rng.integers(0, 256, shape, dtype=np.uint8)
        image = Image(pixels)
        assert image.mime == "image/png"
        assert decoded(image.bytes).mode == mode
        assert np.array_equal(np.asarray(decoded(image.bytes)), pixels.squeeze())
    first = rng.integers(0, 256, (3, 5, 7), dtype=np.uint8)
    for given in (first, first[None], first.transpose(1, 2, 0)):
        assert np.array_equal(np.asarray(decoded(Image(given).bytes)), first.transpose(1, 2, 0))
    assert decoded(Image(first, format="jpeg").bytes).format == "JPEG"


def test_the_brightness_of_numbers() -> None:
    needs_module("numpy")
    needs_module("PIL")
    import numpy as np

    def shades(*values: object, dtype: str) -> list[int]:
        return list(np.asarray(decoded(Image(np.array([values], dtype=dtype)).bytes)).ravel())

    assert shades(0, 0.5, 1, dtype="float32") == [0, 128, 255]
    assert shades(-1, 0, 1, dtype="float64") == [0, 128, 255]
    assert shades(0, 12.4, 300, dtype="float32") == [0, 12, 255]
    assert shades(float("nan"), 0.5, 1, dtype="float16") == [0, 128, 255]
    assert shades(False, True, dtype="bool") == [0, 255]
    assert shades(-5, 7, 999, dtype="int64") == [0, 7, 255]
    assert shades(0, 65535, dtype="uint16") == [0, 255]
    assert shades(0, 255, dtype="uint16") == [0, 255]


@pytest.mark.parametrize("shape", [(3,), (2, 5, 5, 5), (5, 5, 9), (0, 5), (2, 3, 4, 5, 3)])
def test_an_array_that_is_no_picture_is_refused_with_its_shape(shape: tuple[int, ...]) -> None:
    needs_module("numpy")
    import numpy as np

    with pytest.raises(MediaError, match="shape") as raised:
        Image(np.zeros(shape))
    assert str(shape) in str(raised.value)
    with pytest.raises(MediaError, match="dtype"):
        Image(np.array([["a"]]))


@pytest.mark.parametrize("shape", [(4, 6, 8), (4, 6, 8, 3), (4, 3, 6, 8), (1, 4, 3, 6, 8), (4, 6, 8, 1)])
def test_frames_become_a_gif(shape: tuple[int, ...]) -> None:
    needs_module("numpy")
    needs_module("PIL")
    import numpy as np

    video = Video(np.random.default_rng(5).integers(0, 256, shape, dtype=np.uint8), fps=5)
    gif = decoded(video.bytes)
    assert (video.mime, video.media_type) == ("image/gif", "video")
    assert (gif.size, gif.n_frames, gif.info["duration"]) == ((8, 6), 4, 200)


def test_samples_become_a_wav() -> None:
    needs_module("numpy")
    import numpy as np

    audio = Audio(np.array([[0.0, 1.0], [-1.0, 2.0]]), sample_rate=8000)
    with wave.open(io.BytesIO(audio.bytes)) as file:
        assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (2, 8000, 2)
        assert np.frombuffer(file.readframes(2), "<i2").tolist() == [0, 32767, -32767, 32767]
    assert audio.mime == "audio/wav"
    with pytest.raises(MediaError, match="shape"):
        Audio(np.zeros((2, 2, 2)))


class Figure:
    """Saves itself as matplotlib's figures do."""

    def savefig(self, file: io.BytesIO, *, format: str) -> None:  # noqa: A002
        file.write(f"a {format}".encode())


def test_a_figure_is_saved() -> None:
    assert Image(Figure()).bytes == b"a png"
    assert (Image(Figure(), format="svg").bytes, Image(Figure(), format="svg").mime) == (b"a svg", "image/svg+xml")


def test_torch_pictures_have_their_colours_first() -> None:
    needs_module("torch")
    needs_module("PIL")
    import torch

    assert decoded(Image(torch.rand(3, 5, 4, requires_grad=True)).bytes).size == (4, 5)
    assert decoded(Image(torch.rand(3, 5, 4, dtype=torch.bfloat16)).bytes).size == (4, 5)


def test_pictures_need_neither_numpy_nor_pillow_to_be_told_from_others() -> None:
    program = (
        "import sys; from tracehouse.media import Image; Image(b'x'); Image(b'x').mime\n"
        "try: Image(5)\nexcept TypeError: print(sorted({'numpy', 'PIL', 'hashlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
