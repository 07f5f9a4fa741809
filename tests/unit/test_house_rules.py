"""House rules that no linter knows: sizes, names, documentation, and what a commit may never contain."""

from __future__ import annotations

import ast
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
MAX_LINES, NINE_OF_TEN_LINES, MEDIAN_LINES = 400, 250, 100
MAX_FUNCTION_LINES = 65
MAX_MODULES, MAX_TOP_LEVEL = 20, 23
MAX_README_LINES = 150
#: Above this a function has many ways through it; so many of all functions may.
COMPLEX, MOST_COMPLEX_PERCENT, MOST_WAYS = 10, 1.2, 20
FORBIDDEN_NAMES = {"utils", "util", "common", "helpers", "helper", "manager", "misc", "base"}
GENERATED = re.compile(r"_pb2(_grpc)?\.pyi?$")


def everything_tracked() -> list[str]:
    """Names of all files under version control, or about to be."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    return [name for name in listed if name]


def tracked(*suffixes: str) -> list[Path]:
    """Files under version control with one of the suffixes, generated ones left out."""
    paths = [PROJECT / name for name in everything_tracked() if name.endswith(suffixes) and not GENERATED.search(name)]
    return [path for path in paths if path.is_file()]


PYTHON = tracked(".py")


def test_no_module_is_too_long() -> None:
    long = {str(path.relative_to(PROJECT)): len(path.read_text().splitlines()) for path in PYTHON}
    assert {name: lines for name, lines in long.items() if lines > MAX_LINES} == {}


#: What is no test.
SOURCES = [path for path in PYTHON if not path.is_relative_to(PROJECT / "tests")]


def test_modules_are_small_on_the_whole() -> None:
    sizes = sorted(len(path.read_text().splitlines()) for path in SOURCES)
    assert sizes[len(sizes) // 2] <= MEDIAN_LINES
    assert sizes[len(sizes) * 9 // 10] <= NINE_OF_TEN_LINES


def test_no_folder_holds_too_many_modules() -> None:
    modules = Counter(path.parent.relative_to(PROJECT) for path in SOURCES if path.name != "__init__.py")
    assert {str(folder): count for folder, count in modules.items() if count > MAX_MODULES} == {}


def test_the_top_level_can_be_taken_in_at_a_glance() -> None:
    names = {name.split("/")[0] for name in everything_tracked()}
    assert len(names) <= MAX_TOP_LEVEL, sorted(names)


@dataclass(frozen=True)
class Function:
    """A function of ours. `ways`: how many ways lead through it, more or less."""

    name: str
    lines: int
    ways: int


def functions(source: str, module: str) -> Iterator[Function]:
    """Functions and methods, inner ones too; each counts its own ways only."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            yield Function(f"{module}:{node.name}", lines, 1 + sum(branches(child) for child in node.body))


def branches(node: ast.AST) -> int:
    """How many more ways there are through a node than one."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() | ast.Lambda():
            return 0
        case ast.BoolOp(values=values):
            own = len(values) - 1
        case (
            ast.If() | ast.IfExp() | ast.For() | ast.AsyncFor() | ast.While() | ast.ExceptHandler() | ast.Assert()
            | ast.comprehension() | ast.match_case()
        ):  # fmt: skip
            own = 1
        case _:
            own = 0
    return own + sum(branches(child) for child in ast.iter_child_nodes(node))


FUNCTIONS = [
    function
    for path in SOURCES
    for function in functions(path.read_text(), path.relative_to(PROJECT).with_suffix("").as_posix())
]


def test_no_function_is_too_long() -> None:
    assert [function for function in FUNCTIONS if function.lines > MAX_FUNCTION_LINES] == []


def test_few_functions_have_many_ways_through_them() -> None:
    many = [function for function in FUNCTIONS if function.ways > COMPLEX]
    share = 100 * len(many) / len(FUNCTIONS)
    assert share <= MOST_COMPLEX_PERCENT, "\n".join(map(str, sorted(many, key=lambda function: -function.ways)))


def test_no_function_has_too_many_ways_through_it() -> None:
    assert [function for function in FUNCTIONS if function.ways > MOST_WAYS] == []


def test_ways_are_counted() -> None:
    source = """
def plain(): return [1]
def branching(a, b):
    if a and b or a:
        for one in [x for x in b if x]:
            assert one
    def inner(): return 1 if a else 2
    match a:
        case 1: pass
        case _: pass
"""
    assert [(one.name, one.ways) for one in functions(source, "m")] == [
        ("m:plain", 1),
        ("m:branching", 9),
        ("m:inner", 2),
    ]


def test_names_say_what_is_inside() -> None:
    vague = [str(path) for path in PYTHON if FORBIDDEN_NAMES & {part.removesuffix(".py") for part in path.parts[-3:]}]
    assert vague == []


def test_every_module_says_what_it_is() -> None:
    silent = [str(path) for path in PYTHON if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []


def test_unit_tests_start_no_process() -> None:
    unit = [path for path in PYTHON if path.is_relative_to(PROJECT / "tests/unit")]
    assert [path.name for path in unit if "subprocess" in path.read_text()] == [Path(__file__).name]  # it asks git


def test_the_readme_stays_short() -> None:
    assert len((PROJECT / "README.md").read_text().splitlines()) <= MAX_README_LINES


@pytest.mark.parametrize(
    ("pattern", "what"),
    [
        (r"https?://[a-z0-9.-]*(pypi|pythonhosted|npmjs|maven|golang|crates|debian)", "a package registry's host"),
        (r"(?<![\w.])/(work|farm|root)/", "a path of one machine"),
    ],
)
def test_nothing_ties_the_project_to_a_place(pattern: str, what: str) -> None:
    files = tracked(".py", ".md", ".toml", ".lock", ".yaml", ".yml", ".proto", "Makefile", ".ci/run")
    found = [str(path) for path in files if path != Path(__file__) and re.search(pattern, path.read_text())]
    assert found == [], what


#: What only the modules that make plain text of everything may touch: what the command line prints is data of others.
OF_THE_TERMINAL = {
    "rich": {"terminal", "tables", "progress"},
    "standard streams": {"terminal"},
    "markup": set[str](),
}


def terminal_liberties(source: str) -> set[str]:
    """Which of OF_THE_TERMINAL a module of the command line takes."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names) if any(name.name.split(".")[0] == "rich" for name in names):
                found.add("rich")
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] == "rich":
                found |= {"markup"} if module == "rich.markup" or node.names[0].name == "print" else {"rich"}
            case ast.Call(func=ast.Name(id="print")) | ast.Call(func=ast.Attribute(attr="echo" | "secho")):
                found.add("standard streams")
            case ast.Call(
                func=ast.Attribute(value=ast.Attribute(attr="stdout" | "stderr"), attr="write" | "writelines")
            ):
                found.add("standard streams")
            case ast.Attribute(attr="from_markup") | ast.Name(id="from_markup"):
                found.add("markup")
            case ast.keyword(arg="markup" | "emoji", value=ast.Constant(value=True)):
                found.add("markup")
            case ast.Call(func=ast.Name(id="Console" | "TextColumn"), keywords=keywords) if not any(
                word.arg == "markup" for word in keywords
            ):
                found.add("markup")
    return found


def test_the_command_line_prints_plain_text_only() -> None:
    """Text from outside becomes markup nowhere: one module makes plain text of all that is printed."""
    taken = {
        (path.stem, liberty)
        for path in PYTHON
        if path.is_relative_to(PROJECT / "devstack/cli")
        for liberty in terminal_liberties(path.read_text())
    }
    assert {(module, liberty) for module, liberty in taken if module not in OF_THE_TERMINAL[liberty]} == set()


@pytest.mark.parametrize(
    "source",
    [
        "print(f'[bold]{name}[/]')",
        "import typer\ntyper.echo(name)",
        "import sys\nsys.stdout.write(name)",
        "import sys\nsys.stderr.write(name)",
        "from rich.console import Console",
        "from rich import print",
        "from rich.markup import escape",
        "import rich.table",
        "Console().print(name)",
        "Console(markup=True)",
        "Text.from_markup(name)",
        "TextColumn('{task.description}')",
    ],
)
def test_a_liberty_with_the_terminal_is_noticed(source: str) -> None:
    assert terminal_liberties(source)
