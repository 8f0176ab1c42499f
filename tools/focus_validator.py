"""Run PyPI's FOCUS validator (rules of 1.0) over an export, in an environment of its own, beside Weir's checks of 1.2.

    python tools/focus_validator.py focus.csv

Ends with 1 where a rule fails that is not among KNOWN: those that no data set of FOCUS 1.0 or later can pass.
"""

import re
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINNED = ROOT / "tools" / "focus-validator.txt"
ENVIRONMENT = ROOT / ".venv-focus"
NOT_THERE = "a column of commitment discounts, which the specification wants only of who offers them"
KNOWN = {
    "BillingCurrency_IsCurrencyCode": "it reads a list of currencies that its package lacks",
    "SkuPriceId_Nullable": "it reads ChargeType, which is ChargeCategory since 1.0",
    "InvoiceIssuer_Required": "the column is InvoiceIssuerName since 1.0",
    "Provider_Required": "the column is ProviderName since 1.0",
    "Publisher_Required": "the column is PublisherName since 1.0",
    "ResourceID_Required": "the column is ResourceId since 1.0",
    **{
        f"CommitmentDiscount{part}_Required": NOT_THERE
        for part in ("Category", "Id", "Name", "Status", "Type")
    },
}
_FAILED = re.compile(r"^(\w+) failed:$", re.MULTILINE)


def main(arguments: list[str]) -> int:
    """Validate the file that is named."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    program = _installed()
    command = [str(program), "--data-file", arguments[0], "--validate-version", "1.0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    failed = _FAILED.findall(done.stdout)
    if done.returncode and not failed:
        print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
        return 1
    for rule in failed:
        print(f"{rule}: {'known: ' + KNOWN[rule] if rule in KNOWN else 'FAILED'}")
    new = [rule for rule in failed if rule not in KNOWN]
    print(f"{len(new)} rules fail, {len(failed) - len(new)} cannot hold")
    return 1 if new else 0


def _installed() -> Path:
    """The validator's program, installed as pinned."""
    stamp = ENVIRONMENT / "weir.stamp"
    pinned = PINNED.read_text("utf-8")
    if not stamp.exists() or stamp.read_text("utf-8") != pinned:
        venv.create(ENVIRONMENT, clear=True, with_pip=True)
        python = str(ENVIRONMENT / "bin" / "python")
        pip = [python, "-m", "pip", "install", "--quiet", "--no-input", "-r", str(PINNED)]
        subprocess.run(pip, check=True)
        stamp.write_text(pinned, "utf-8")
    return ENVIRONMENT / "bin" / "focus-validator"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
