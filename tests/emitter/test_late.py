"""E4: a forked child never waits for a module that another thread of its parent's was loading when it forked."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import tracehouse
from tests.support import jobs, lanes
from tracehouse import late

PACKAGE = Path(tracehouse.__file__).parent
# only where the job has loaded multiprocessing itself
_JOBS_OWN = {"multiprocessing", "multiprocessing.process", "multiprocessing.util"}


def _loaded_before_a_fork_with(module: str) -> set[str]:
    code = f"import sys, {module}; from tracehouse import late; late.use(); late.load(); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def _named_in(statement: ast.AST) -> Iterator[str]:
    if isinstance(statement, ast.Import):
        yield from (one.name for one in statement.names)
    elif isinstance(statement, ast.ImportFrom) and statement.module:
        yield statement.module
        for one in statement.names:
            path = PACKAGE.parent.joinpath(*statement.module.split("."), one.name)
            if path.with_suffix(".py").exists() or path.is_dir():
                yield f"{statement.module}.{one.name}"


def _imported_late(path: Path) -> set[str]:
    functions = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef))
    return {name for function in functions for statement in ast.walk(function) for name in _named_in(statement)}


def test_e4_whatever_a_function_imports_is_loaded_before_a_fork() -> None:
    elsewhere = {
        "_sha256" if sys.version_info >= (3, 12) else "_sha2",
        *(() if sys.platform.startswith("linux") else ("ctypes",)),
    }
    known = _loaded_before_a_fork_with("tracehouse") | elsewhere | _JOBS_OWN
    known_to_wandb = known | _loaded_before_a_fork_with("tracehouse.wandb")
    missing = {
        (str(path.relative_to(PACKAGE)), name)
        for path in PACKAGE.rglob("*.py")
        for name in _imported_late(path) - (known_to_wandb if "wandb" in path.parts else known)
    }
    assert missing == set()


# A thread loads `name` when the process forks. It ends that when the fork waits for it, or has not.
FORK_WHILE_LOADING = """
import importlib.util, signal, sys, threading

main, entered, forked = threading.current_thread(), threading.Event(), threading.Event()
os.register_at_fork(after_in_parent=forked.set)

def waits_in_a_fork():
    frame = sys._current_frames()[main.ident]
    while frame is not None:
        code = frame.f_code
        if code.co_filename.endswith("late.py") and (code.co_name == "_acquire" or frame.f_locals.get("name") == slow):
            return True
        frame = frame.f_back
    return False

class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == slow:
            sys.meta_path.remove(self)
            spec = importlib.util.find_spec(name)
            self.create_module, self.loader, spec.loader = spec.loader.create_module, spec.loader, self
            return spec

    def exec_module(self, module):
        entered.set()
        while not forked.wait(0.001) and not waits_in_a_fork():
            pass
        self.loader.exec_module(module)

def fork_while(work):
    sys.meta_path.insert(0, Slow())
    threading.Thread(target=work, daemon=True).start()
    assert entered.wait(30)
    pid = os.fork()
    if not pid:
        signal.alarm(20)
        work()
        sys.exit()
    code = os.waitpid(pid, 0)[1]
    assert code == 0, f"the child ended with {code}"
"""


def _fork_while(loading: str, script: str, spool: Path, **more: str) -> jobs.Job:
    return jobs.run(f"slow = {loading!r}\n{FORK_WHILE_LOADING}\n{script}", spool, **more)


def test_e4_a_fork_while_a_thread_begins_the_first_session(tmp_path: Path) -> None:
    script = "fork_while(lambda: cm.init(session_id=str(os.getpid())).log_user('x'))"
    job = _fork_while(late.MODULES[0], script, tmp_path)
    assert job.code == 0, job.err
    assert len(jobs.sessions(tmp_path)) == 2


def test_e4_a_fork_while_a_thread_syncs_many_sessions(tmp_path: Path) -> None:
    lanes.needs_linux()
    script = """
def log():
    runs = [cm.Run(session_id=f"{os.getpid()}-{n}") for n in range(40)]
    for run in runs: run.log_user("x")
fork_while(log)
"""
    job = _fork_while("ctypes", script, tmp_path)
    assert job.code == 0, job.err
    assert len(jobs.sessions(tmp_path)) == 80


def test_e4_a_fork_while_a_thread_loads_other_peoples_modules(tmp_path: Path) -> None:
    (tmp_path / "pandas.py").write_text("DataFrame = list")
    script = f"""
sys.path.insert(0, {str(tmp_path)!r})
from tracehouse.traces import Rows
fork_while(lambda: Rows().to_pandas())
"""
    job = _fork_while("pandas", script, tmp_path / "spool")
    assert job.code == 0, job.err


def test_e4_a_fork_while_a_thread_tells_that_the_disk_is_full(tmp_path: Path) -> None:
    script = """
import resource
run, other = cm.Run(session_id="full"), cm.Run(session_id="other", spool_dir=os.environ["TRACEHOUSE_SPOOL_DIR"] + "-other")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
def log():
    mine = run if threading.current_thread() is not main else other
    mine.log_user("x")
    mine.flush()
fork_while(log)
"""
    job = _fork_while("logging", script, tmp_path)
    assert job.code == 0, job.err
    assert "trace-other" in job.err


ALL_THAT_A_CHILD_DOES = """
import datetime, decimal, pathlib, resource, signal, sys

run = cm.init_run(client_run_id="r", capture_env=False, system_metrics=False)
run.log({"parent": 1})
chat = cm.init(session_id="chat")
chat.log_user("hello")
if os.fork() == 0:
    loaded = set(sys.modules)
    run.log({"nan": float("nan"), "set": {1}, "at": datetime.datetime(2026, 1, 1), "path": pathlib.Path("x"), "object": object()})
    run.log({"image": cm.Image(b"GIF89a...."), "video": cm.Video(b"....ftypisom"), "number": decimal.Decimal("0.1")})
    run.config.update({"lr": 1e-3})
    with chat.span("tool_use", "search"):
        chat.log_tool_result("found")
    chat.log_messages([{"role": "user", "content": [{"type": "text", "text": "hello"}]}])
    own = cm.init_run(client_run_id="own", capture_env=True, api_key="ba_" + "k" * 40, redact=["keys", "emails"])
    own.log({"loss": 1, "said": "me@example.com"})
    own.model_card()
    own.finish()
    print(run.flush(), chat.flush())
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    run.log({"lost": 1})
    run.flush()
    print(*sorted({name.split(".")[0] for name in set(sys.modules) - loaded}), flush=True)
    os._exit(0)
os.wait()
"""


def test_e4_a_child_loads_no_module_for_what_it_logs_but_to_tell_of_trouble(tmp_path: Path) -> None:
    job = jobs.run(ALL_THAT_A_CHILD_DOES, tmp_path, TRACEHOUSE_CONFIG_DIR=str(tmp_path / "config"))
    assert job.code == 0, job.err
    assert job.out == "True True\nlogging\n", job.err
