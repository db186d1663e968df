"""Images and videos, in ``log`` and by themselves: from paths and bytes."""

import base64
from pathlib import Path

import tracehouse as cm

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==")
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00\xff\xd9"
WEBP = b"RIFF\x1a\x00\x00\x00WEBPVP8L\x0d\x00\x00\x00/\x00\x00\x00\x10\x07\x10\x11\x11\x88\x88\xfe\x07\x00"
MP4 = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + b"v" * 100

for name, data in (
    ("a.png", PNG),
    ("b.JPG", JPEG),
    ("c.gif", GIF),
    ("d.webp", WEBP),
    ("clip.mp4", MP4),
    ("e.mov", MP4),
):
    Path(name).write_bytes(data)
Path("drawn.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")

run = cm.init_run(project="demo", name="media", client_run_id="media", capture_env=False, system_metrics=False)
run.log({"loss": 0.5, "samples": cm.Image("a.png", caption="epoch 3")}, step=3)
run.log({"only": cm.Image(PNG)})
run.log({"loss": 0.25, "clip": cm.Video(Path("clip.mp4"), caption="ca p&é")})
run.log({"loss": 0.125}, commit=False)
run.log({"held/img": cm.Image(bytearray(GIF)), "loss": 0.0625}, commit=False)
run.log_image("val/grid", "a.png", caption="val grid", step=10)
run.log_image("no step", Path("b.JPG"))
run.log_image("empty caption", "c.gif", caption="")
run.log_image("sniffed/webp", WEBP)
run.log_image("sniffed/jpeg", JPEG)
run.log_image("by format", GIF, format="gif", step=7.9)
run.log_image("vector", "drawn.svg")
run.log_video("rollout", "clip.mp4", step=10)
run.log_video("quicktime", "e.mov")
run.log_video("bytes", MP4, format="webm")
run.log({"loss": 0.03125})
run.finish()

image, video = cm.Image(PNG, caption="c"), cm.Video(MP4)
print(image.media_type, image.mime, image.caption, video.media_type, video.mime, video.caption)
for wrong in (lambda: cm.Image(object()), lambda: cm.Image(None), lambda: cm.Video(12)):
    try:
        wrong()
    except TypeError as error:
        print("TypeError:", error)
