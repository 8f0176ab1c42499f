"""What the suite found, in words that a site can keep."""

from collections.abc import Mapping
from dataclasses import dataclass

from weir.engines.driver import CAPABILITIES

__all__ = ["CaseResult", "ConformanceReport"]


@dataclass(frozen=True, slots=True)
class CaseResult:
    """How one case went.

    `lacking` names capabilities that it needs and the driver does not claim, `missing` what it would have to
    provoke and nobody here can; with either it was not played. `failure` is empty where it passed.
    """

    name: str
    lacking: frozenset[str]
    missing: frozenset[str]
    failure: str
    took_s: float

    @property
    def verdict(self) -> str:
        """One of `passed`, `failed`, `not claimed`, `not tried`."""
        if self.failure:
            return "failed"
        return "not claimed" if self.lacking else "not tried" if self.missing else "passed"

    def __str__(self) -> str:
        needs = ", ".join(sorted(self.lacking or self.missing))
        line = f"{self.verdict:12} {self.took_s:6.2f}s  {self.name}{f'  [{needs}]' if needs else ''}"
        return "\n".join([line, *(f"    {text}" for text in self.failure.splitlines())])


@dataclass(frozen=True, slots=True)
class ConformanceReport:
    """What the suite found. `passed` only where no case failed and at least one was played."""

    capabilities: frozenset[str]
    results: tuple[CaseResult, ...]

    @property
    def passed(self) -> bool:
        verdicts = [result.verdict for result in self.results]
        return "failed" not in verdicts and "passed" in verdicts

    def count(self, verdict: str) -> int:
        return sum(result.verdict == verdict for result in self.results)

    def __str__(self) -> str:
        return "\n".join(map(str, self.results))

    def to_text(self, heading: Mapping[str, str]) -> str:
        """The whole report as Markdown: `heading` (such as engine, site and date), what is claimed, the cases."""
        lines = ["# Conformance of an engine", ""]
        lines += [f"- {name}: {value}" for name, value in heading.items()]
        verdicts = ("passed", "failed", "not claimed", "not tried")
        counts = ", ".join(f"{self.count(verdict)} {verdict}" for verdict in verdicts)
        lines += [f"- result: **{'passed' if self.passed else 'FAILED'}** ({counts})", "", "## Claimed", ""]
        lines += [f"- `{name}`: {CAPABILITIES.get(name, '?')}" for name in sorted(self.capabilities)]
        lines += ["", "## Not claimed", ""]
        lines += [
            f"- `{name}`: {text}" for name, text in CAPABILITIES.items() if name not in self.capabilities
        ]
        lines += [
            "",
            "## Cases",
            "",
            "| case | verdict | seconds | needs what is not here |",
            "|---|---|---|---|",
        ]
        for result in self.results:
            needs = ", ".join(sorted(result.lacking | result.missing))
            lines.append(f"| {result.name} | {result.verdict} | {result.took_s:.2f} | {needs} |")
        for result in self.results:
            if result.failure:
                lines += ["", f"### {result.name}", "", "```", result.failure.rstrip(), "```"]
        return "\n".join([*lines, ""])
