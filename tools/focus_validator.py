"""Run PyPI's FOCUS validator (rules of 1.0) over an export, in an environment of its own, beside Weir's checks of 1.2.

    python tools/focus_validator.py focus.csv

Ends with 1 where a rule fails that is not among KNOWN: those that no data set of FOCUS 1.0 or later can pass.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / ".venv-focus" / "bin" / "focus-validator"
"""As `make focus` installs it."""
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
    if not PROGRAM.exists():
        print("make it first: `make focus`", file=sys.stderr)
        return 2
    command = [str(PROGRAM), "--data-file", arguments[0], "--validate-version", "1.0"]
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
