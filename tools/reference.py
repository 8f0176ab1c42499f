"""Write docs/reference from the code: `python tools/reference.py`; `--check` fails when a page is not up to date.

Job file and province file come from the classes' docstrings and types, the API from its OpenAPI document, the
commands from Typer.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"
NOTICE = "<!-- Written by tools/reference.py; change the code instead. -->\n"

# Quantities are integers inside; people write them with a unit.
_WRITTEN = {
    "DurationMs": "duration, such as `90s` or `2h30m`",
    "Bytes": "size, such as `16GiB`",
    "MicroYuan": 'yuan, such as `"12.50"`',
    "MilliCores": "cores, such as `4` or `0.5`",
    "BitsPerSecond": "bandwidth, such as `100 Gbit/s`",
    "OperationsPerSecond": "rate, such as `312 TFLOPS`",
    "Watts": "power, such as `400 W`",
    "Microseconds": "latency, such as `3 ms`",
    "SharePpm": "percentage, such as `30%`",
    "date": "day, such as `2025-09-24`",
    "TaskRange": "number, or `min..max`",
    "int": "number",
    "str": "text",
    "bool": "true or false",
    "float": "number",
}


def main() -> int:
    """Write the pages, or compare them."""
    check = "--check" in sys.argv[1:]
    stale = []
    for name, text in pages():
        path = REFERENCE / name
        if check and (not path.exists() or path.read_text(encoding="utf-8") != text):
            stale.append(name)
        elif not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if stale:
        print(f"not up to date: {', '.join(stale)}; run python tools/reference.py", file=sys.stderr)
    return 1 if stale else 0


def pages() -> Iterator[tuple[str, str]]:
    """Every page: its file name and its text."""
    yield "job-file.md", _classes("Job file", "job.py", _JOB_FILE, first="JobSpecification")
    yield "province-file.md", _classes("Province file", "province.py", _PROVINCE_FILE, first="Province")
    yield "scheme-file.md", _classes("Scheme file", "scheme.py", _SCHEME_FILE, first="Scheme")
    yield "api.md", _api()
    yield "commands.md", _commands()


_JOB_FILE = """
What `weir submit FILE` and `POST /api/v1/jobs` take, as YAML or JSON; several YAML documents make several jobs. A
field that is unknown, or that nothing honours yet, is refused, never ignored.

```yaml
name: train
command: [python3, train.py, --epochs, "10"]
time_limit: 2h
devices: {count: 2, stack: cann}
cores: 16
memory: 64GiB
inputs:
  - {file: train.py}                                  # on this machine, uploaded by `weir submit`
  - {from: k7m2q9xw4tcd, path: "data/*", to: data}    # another job's outputs; implies `after`
  - {file: corpus.tar, url: "s3://sets/corpus.tar"}   # fetched by the centre, where its operator allows that
outputs: ["model/*.json"]                            # kept by the platform
deliver:
  - {path: "model/*.bin", url: "s3://results/run-7/"} # written by the centre, where its operator allows that
restartable: true
```

Every task finds `WEIR_JOB_ID`, `WEIR_ATTEMPT`, `WEIR_ARRAY_INDEX`, `WEIR_TASK_INDEX`, `WEIR_TASK_COUNT`,
`WEIR_HOSTS`, `WEIR_DEVICES` and its stack's own variable (such as `CUDA_VISIBLE_DEVICES`) in its environment; a task
of a gang also `MASTER_ADDR`, `MASTER_PORT`, `RANK` and `WORLD_SIZE`.
"""

_API = """Every call but the two health checks wants `Authorization: Bearer TOKEN`. Errors are RFC 9457 problem
details (`application/problem+json`) that name the field, the value and what is accepted. `GET /openapi.json` says the
same in OpenAPI 3.1."""

_PROVINCE_FILE = """
What `weir apply -f FILE` takes: the whole province as it should be. What is left out is removed; a pool or centre that
still runs something is drained first. `provinces/anhui.yaml` and `provinces/demo.yaml` are examples.
"""


_SCHEME_FILE = """
What `weir scheme check FILE` and `weir scheme apply FILE` take: a public scheme as dated rules over facts. A fact
that is missing makes a condition undecided: it grants nothing until the fact is given. `schemes/` holds five published
schemes, taken from secondary publications.

```yaml
version: 1
scheme: example-2026
name: Example
sources: [{title: The official text, official: true}]
editions:
  - begins: 2026-01-01
    base: contract
    pool_per_year: "10000000"
    holder_cap: {per_year: "1000000"}
    tiers:
      - {id: domestic, rate: "30%", when: {fact: line.chip-origin, one_of: [domestic]}}
      - {id: other, rate: "20%"}
    holder:
      - {id: small, text: small enterprises, when: {fact: holder.size, one_of: [micro, small]}}
    redemption: {mode: deduct}
    funders: [{id: city, name: Finance bureau}]
```
"""


def _classes(title: str, module: str, introduction: str, *, first: str) -> str:
    tree = ast.parse((ROOT / "src/weir/model" / module).read_text(encoding="utf-8"))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    lines = [NOTICE, f"# {title}", introduction.rstrip("\n"), ""]
    order = [first, *(name for name in classes if name != first)]
    for name in order:
        node = classes[name]
        lines += [f"## {name}", "", _plain(ast.get_docstring(node) or ""), ""]
        if any(isinstance(base, ast.Name) and base.id == "Enum" for base in node.bases):
            lines += [f"- `{value}`" for value in _members(node)] + [""]
        else:
            lines += ["| field | what it takes | default | meaning |", "|---|---|---|---|"]
            lines += [_row(field, text, classes) for field, text in _fields(node)] + [""]
    return "\n".join(lines)


def _fields(node: ast.ClassDef) -> Iterator[tuple[ast.AnnAssign, str]]:
    for position, statement in enumerate(node.body):
        if not isinstance(statement, ast.AnnAssign):
            continue
        following = node.body[position + 1] if position + 1 < len(node.body) else None
        text = ""
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            text = str(following.value.value)
        yield statement, _plain(text)


def _members(node: ast.ClassDef) -> Iterator[str]:
    for statement in node.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant):
            yield str(statement.value.value)


def _row(field: ast.AnnAssign, text: str, classes: dict[str, ast.ClassDef]) -> str:
    assert isinstance(field.target, ast.Name)
    name = field.target.id.rstrip("_")
    default = "required" if field.value is None else _default(field.value)
    if name == "cores" and default == "`1000`":
        default = "`1`"  # kept in thousandths, written in cores
    return f"| `{name}` | {_type(field.annotation, classes)} | {default} | {text} |"


def _default(value: ast.expr) -> str:
    text = ast.unparse(value)
    if text in ("None", "()", "''", "field(default_factory=dict)") or text.endswith("()"):
        return ""
    if isinstance(value, ast.Attribute):
        return f"`{value.attr.lower()}`"
    if isinstance(value, ast.Tuple):
        return ", ".join(_default(element) for element in value.elts)
    if text in ("True", "False"):
        return text.lower()
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        return f"`{value.value}`"
    return {"ONETASK": "`1`", "1 << 30": "`1GiB`", "10000": "`10s`"}.get(text.replace("_", ""), f"`{text}`")


def _type(annotation: ast.expr, classes: dict[str, ast.ClassDef]) -> str:
    if isinstance(annotation, ast.BinOp):
        sides = [side for side in (annotation.left, annotation.right) if ast.unparse(side) != "None"]
        return " or ".join(_type(side, classes) for side in sides)
    if isinstance(annotation, ast.Subscript):
        outer, inner = ast.unparse(annotation.value), annotation.slice
        if outer == "tuple" and isinstance(inner, ast.Tuple):
            return f"list of {_type(inner.elts[0], classes)}"
        if outer == "Mapping" and isinstance(inner, ast.Tuple):
            return f"names with {_type(inner.elts[1], classes)}"
    name = ast.unparse(annotation)
    if name in classes:
        return f"[{name}](#{name.lower()})"
    return _WRITTEN.get(name, f"`{name}`")


def _plain(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _api() -> str:
    from weir import __version__
    from weir.api import Services, create_app

    # Describing itself, the API touches none of what it is made of.
    untouched: Any = None
    services = Services(
        store=untouched,
        blobs=untouched,
        logs=untouched,
        now_ms=lambda: 0,
        random_bits=lambda bits: 0,
        version=__version__,
    )
    document = create_app(services).openapi()
    lines = [
        NOTICE,
        "# API",
        "",
        _API,
        "",
        "| call | what it does |",
        "|---|---|",
    ]
    for path, operations in sorted(document["paths"].items()):
        for method, operation in operations.items():
            summary = _plain(
                ". ".join(filter(None, (operation.get(name) for name in ("summary", "description"))))
            )
            lines.append(f"| `{method.upper()} {path}` | {summary} |")
    return "\n".join(lines) + "\n"


def _commands() -> str:
    import typer.main

    from weir.cli.main import app

    lines = [
        NOTICE,
        "# Commands",
        "",
        "`weir --install-completion` sets up completion of commands and ids in your shell.",
        "",
    ]
    lines += _command_lines(typer.main.get_command(app), "weir")
    return "\n".join(lines) + "\n"


def _command_lines(command: Any, name: str) -> list[str]:
    children = getattr(command, "commands", None)
    if children:
        lines = []
        if getattr(command, "invoke_without_command", False):
            lines += _one_command(command, name)
        for child_name, child in sorted(children.items()):
            lines += _command_lines(child, f"{name} {child_name}")
        return lines
    return _one_command(command, name)


def _one_command(command: Any, name: str) -> list[str]:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [
        p
        for p in command.params
        if p.param_type_name == "option" and p.name not in ("help", "version") and not p.hidden
    ]
    shown = " ".join(
        (p.metavar or p.name.upper()) + ("…" if p.nargs == -1 and not p.metavar else "") for p in arguments
    )
    lines = [f"## {name} {shown}".rstrip(), "", _plain(command.help or ""), ""]
    if options:
        lines += ["| option | meaning |", "|---|---|"]
        for option in options:
            names = ", ".join(f"`{text}`" for text in (*option.opts, *option.secondary_opts))
            lines.append(f"| {names} | {_plain(option.help or '')} |")
        lines.append("")
    return lines


if __name__ == "__main__":
    sys.exit(main())
