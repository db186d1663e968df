"""The rules of the design that no linter knows, read off the syntax tree; a finding is printed as file:line: what."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("tracehouse", "tracehoused")
MOST_LINES = 320
GOOD_LINES = 300

# Writing to disk for good has its traps, so one module does it; the house keeps its blobs by itself.
DURABLE = ("tracehouse/spool/durable.py", "tracehoused/house/blobs.py")
DURABLE_CALLS = frozenset({"fsync", "fdatasync", "rename", "renames", "replace", "link"})
PATH_CALLS = frozenset({"rename", "hardlink_to", "link_to"})
HTTP_CLIENT = ("tracehoused/http/client.py",)
EMITTER_SEAMS = ("tracehouse.spool", "tracehouse.exceptions")
# Only where the default spool path is needed, and with the same path computed where it is missing.
EMITTER_OUTSIDE = frozenset({"platformdirs"})

Finding = tuple[int, str]
Rule = Callable[[str, ast.Module], Iterator[Finding]]


def _package(file: str) -> list[str]:
    return file.split("/")[:-1]


def imports(file: str, tree: ast.AST) -> Iterator[tuple[ast.stmt, str, list[str]]]:
    """Each import as (statement, absolute module, names taken from it); the names are empty for `import x`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name, []
        elif isinstance(node, ast.ImportFrom):
            base = _package(file)[: len(_package(file)) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield node, module, [alias.name for alias in node.names]


def _within(module: str, roots: tuple[str, ...]) -> bool:
    return any(module == root or module.startswith(root + ".") for root in roots)


def agent_takes_the_spool_only(file: str, tree: ast.Module) -> Iterator[Finding]:
    """The agent imports `tracehouse.spool` and `tracehouse.exceptions`, and nothing else of the emitter."""
    if not file.startswith("tracehoused/"):
        return
    for node, module, names in imports(file, tree):
        taken = [f"tracehouse.{name}" for name in names] if module == "tracehouse" else [module]
        for name in taken or [module]:
            if _within(name, ("tracehouse",)) and not _within(name, EMITTER_SEAMS):
                yield node.lineno, f"the agent imports {name}; it may import only {' and '.join(EMITTER_SEAMS)}"


def one_http_client(file: str, tree: ast.Module) -> Iterator[Finding]:
    """Only `tracehoused.http.client` knows httpx."""
    if file in HTTP_CLIENT:
        return
    for node, module, _ in imports(file, tree):
        if _within(module, ("httpx",)):
            yield node.lineno, f"only {HTTP_CLIENT[0]} may import httpx"


def one_durable_writer(file: str, tree: ast.Module) -> Iterator[Finding]:
    """Only `tracehouse.spool.durable` syncs, renames and links."""
    if file in DURABLE:
        return
    modules = {"os"}
    for node, module, names in imports(file, tree):
        if module == "os":
            if isinstance(node, ast.Import):
                modules |= {alias.asname for alias in node.names if alias.name == "os" and alias.asname}
            for name in DURABLE_CALLS.intersection(names):
                yield node.lineno, f"only {DURABLE[0]} may use os.{name}"
    for attribute in (node for node in ast.walk(tree) if isinstance(node, ast.Attribute)):
        of_os = isinstance(attribute.value, ast.Name) and attribute.value.id in modules
        if of_os and attribute.attr in DURABLE_CALLS:
            yield attribute.lineno, f"only {DURABLE[0]} may use os.{attribute.attr}"
        elif not of_os and attribute.attr in PATH_CALLS:
            yield attribute.lineno, f"only {DURABLE[0]} may rename or link ({attribute.attr})"
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        # One argument and no keyword tells Path.replace from str.replace and datetime.replace.
        function = call.func
        if isinstance(function, ast.Attribute) and function.attr == "replace" and len(call.args) == 1:
            of_os = isinstance(function.value, ast.Name) and function.value.id in modules
            if not call.keywords and not of_os:
                yield call.lineno, f"only {DURABLE[0]} may rename (Path.replace)"


def emitter_needs_nothing(file: str, tree: ast.Module) -> Iterator[Finding]:
    """What `tracehouse` imports when it is imported is the standard library and itself."""
    if not file.startswith("tracehouse/") or sys.version_info < (3, 10):
        return
    inside = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    later = {id(child) for function in inside for child in ast.walk(function)}
    later |= {id(child) for block in ast.walk(tree) if _is_type_checking(block) for child in ast.walk(block)}
    allowed = sys.stdlib_module_names | EMITTER_OUTSIDE | {"tracehouse"}
    for node, module, _ in imports(file, tree):
        # The interpreter's own accelerators have an underscore, and other names in other versions.
        outside = module.split(".")[0] not in allowed and not module.startswith("_")
        if outside and id(node) not in later:
            yield node.lineno, f"importing tracehouse would import {module}, which is not in the standard library"


def _is_type_checking(node: ast.AST) -> bool:
    if not isinstance(node, ast.If):
        return False
    test = node.test
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def private_names_stay_home(file: str, tree: ast.Module) -> Iterator[Finding]:
    """No module takes another's private names."""
    for node, module, names in imports(file, tree):
        if module.split(".")[0] in PACKAGES:
            for name in [*module.split("."), *names]:
                if name.startswith("_") and not name.startswith("__"):
                    yield node.lineno, f"{module}: {name} is private there"


def files_stay_small(file: str, tree: ast.Module) -> Iterator[Finding]:
    """A file that has grown past MOST_LINES is two files."""
    lines = len((ROOT / file).read_text().splitlines())
    if lines > MOST_LINES:
        yield lines, f"{lines} lines; the most is {MOST_LINES}, and {GOOD_LINES} is better"


TREE_RULES: tuple[Rule, ...] = (
    agent_takes_the_spool_only,
    one_http_client,
    one_durable_writer,
    emitter_needs_nothing,
    private_names_stay_home,
)


def findings(file: str, source: str) -> list[Finding]:
    """What `source` does against the rules, were it the file `file` (relative to the root, with slashes)."""
    tree = ast.parse(source, file)
    return sorted({finding for rule in TREE_RULES for finding in rule(file, tree)})


def main() -> int:
    broken = False
    for path in sorted(path for package in (*PACKAGES, "scripts") for path in (ROOT / package).rglob("*.py")):
        file = path.relative_to(ROOT).as_posix()
        source = path.read_text()
        found = findings(file, source) if file.startswith(PACKAGES) else []
        found += files_stay_small(file, ast.parse(source))
        for line, what in found:
            broken = True
            print(f"{file}:{line}: {what}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
