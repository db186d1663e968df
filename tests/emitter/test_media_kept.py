"""E2, A2: a media file stays until it is uploaded, whoever deletes beside it; one that someone removes is told."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from tests.service.support import Site, heard, send
from tests.support import jobs, lanes
from tests.support.house import House

PICTURE = b"\x89PNG\r\n\x1a\n" + b"x" * 1000

# a process whose first record in a run that has ended is a picture: it waits before its first segment is there, and before the picture is
_ATTACHED = """
def waits(event, args):
    if event == "open" and str(args[0]).endswith(".jsonl") and args[2] & os.O_CREAT or event == "os.rename":
        print("now", flush=True)
        sys.stdin.readline()

import os
run = cm.attach_run("r")
sys.addaudithook(waits)
run.log({"img": cm.Image(sys.argv[1])})
print("flush", run.flush(), flush=True)
"""


def test_e2_a_run_that_is_deleted_keeps_what_a_process_adds_to_it_just_then(tmp_path: Path) -> None:
    lanes.needs_house()
    (tmp_path / "picture.png").write_bytes(PICTURE)
    with (
        House(tmp_path / "house") as house,
        closing(Site(tmp_path / "home", api_base=house.url, key=house.key)) as site,
    ):
        site.finished_job("run = cm.init_run(client_run_id='r', capture_env=False); run.log({'loss': 5.0})")
        site.tracehouse("sync")
        job = site.job(_ATTACHED, str(tmp_path / "picture.png"))
        for _ in range(2):
            assert heard(job) == "now"
            site.tracehouse("prune", "--older-than", "0", check=False)
            send(job, "go")
        assert heard(job) == "flush True"
        assert job.wait(60) == 0
        site.tracehouse("sync")
        assert "missing" not in site.tracehouse("deadletters", "list").stdout
        [session] = jobs.sessions(site.spool)
        assert [path.read_bytes() for path in (session / "media").iterdir()] == [PICTURE]


_TAKEN = """
taken = []

def take(event, args):
    if event == "os.rename" and str(args[0]).endswith(".tmp") and not taken:
        taken.append(args[0])
        os.rename(args[0], os.environ["TRACEHOUSE_SPOOL_DIR"] + "/taken")

run = cm.init_run(capture_env=False, system_metrics=False)
sys.addaudithook(take)
for picture in (cm.Image(b"GIF89a"), cm.Image(sys.argv[1])):
    taken.clear()
    run.log({"picture": picture})
    print(len(taken), run.flush())
"""


def test_e2_a_media_file_that_an_agent_takes_away_while_it_is_written_is_written_again(tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(PICTURE)
    job = jobs.run(_TAKEN, tmp_path / "spool", str(tmp_path / "picture.png"))
    assert job.out == "1 True\n1 True\n", job.err
    session = jobs.only_session(tmp_path / "spool")
    assert not jobs.of_type(session, "dropped")
    assert all((session / "media" / one["file"]).exists() for one in jobs.of_type(session, "media"))


_REMOVED = """
import glob
from tracehouse.spool import writer

writer.SYNC_SECONDS = 3600  # the flush is the first to look
run = cm.init_run(capture_env=False, system_metrics=False)
run.log({"picture": cm.Image(b"GIF89a")})
os.unlink(glob.glob(os.environ["TRACEHOUSE_SPOOL_DIR"] + "/run-*/media/*")[0])
print(run.flush(), run.flush())
"""


def test_e2_a_media_file_that_is_removed_before_it_is_on_the_disk_is_told(tmp_path: Path) -> None:
    job = jobs.run(_REMOVED, tmp_path)
    assert job.out == "False True\n", job.err
    assert "removed before it was on the disk" in job.err
    [dropped] = jobs.of_type(jobs.only_session(tmp_path), "dropped")
    assert dropped["reasons"] == {"ENOENT": 1}
