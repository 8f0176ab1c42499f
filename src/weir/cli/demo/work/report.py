"""The last job of the demonstration: reads every training's result, picks the best model, and writes a report.

The best on the validation images is measured once on the test images, which no training and no choice has used.
Expects `trained/INDEX/result.json` and `trained/INDEX/model.joblib`. Writes `report.md`, `best.json`, `best.joblib`.
"""

import json
import shutil
from pathlib import Path

import joblib
from sklearn.datasets import load_digits
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import train_test_split

SEED = 2026


def main() -> None:
    results = [json.loads(path.read_text(encoding="utf-8")) for path in Path("trained").glob("*/result.json")]
    results.sort(key=lambda result: (-result["validation_accuracy"], result["index"]))
    best = results[0]
    folder = Path("trained") / str(best["index"])

    # The stored model is loaded, so that the figure is of the file that is handed over.
    images, labels = load_digits(return_X_y=True)
    _, test_x, _, test_y = train_test_split(images, labels, test_size=0.2, random_state=SEED, stratify=labels)
    best_model = joblib.load(folder / "model.joblib")
    best["test_accuracy"] = float(best_model.score(test_x, test_y))
    best["test_images"] = len(test_y)
    best["trained_models"] = len(results)
    shutil.copy(folder / "model.joblib", "best.joblib")
    Path("best.json").write_text(json.dumps(best, indent=2), encoding="utf-8")

    lines = [
        "# Handwritten digits: the best of " + str(len(results)) + " models",
        "",
        f"Best: **{best['family']}** {best['parameters']}, job {best['job']}.",
        "",
        f"Accuracy **{best['test_accuracy']:.4f}** on {best['test_images']} images that no choice has used.",
        "",
        "| rank | model | parameters | validation accuracy | seconds to fit | job |",
        "| ---: | --- | --- | ---: | ---: | --- |",
    ]
    for rank, result in enumerate(results, 1):
        accuracy, seconds = result["validation_accuracy"], result["fit_seconds"]
        model = f"{result['family']} | `{json.dumps(result['parameters'])}`"
        lines.append(f"| {rank} | {model} | {accuracy:.4f} | {seconds:.2f} | {result['job']} |")
    lines += ["", "## Where the best model errs", "", "Rows: the true digit; columns: what it said.", ""]
    lines += ["| | " + " | ".join(map(str, range(10))) + " |", "|---|" + "---:|" * 10]
    for digit, row in enumerate(confusion_matrix(test_y, best_model.predict(test_x))):
        lines.append(f"| **{digit}** | " + " | ".join(map(str, row)) + " |")
    Path("report.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(
        f"best of {len(results)}: {best['family']} {best['parameters']}, accuracy {best['test_accuracy']:.4f}"
    )


main()
