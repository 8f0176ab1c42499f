"""One training of the demonstration: fits the model that WEIR_ARRAY_INDEX selects to handwritten digits.

Reads nothing, since the data set ships inside scikit-learn. Three fifths of the images are learnt from, one
fifth (validation) is what models are compared on, and the last fifth is left for the report.
Writes `result.json` and `model.joblib`.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

import joblib
from sklearn.datasets import load_digits
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

SEED = 2026

CANDIDATES: list[tuple[str, dict[str, Any]]] = [
    *(("svc-rbf", {"C": c, "gamma": gamma}) for c in (1, 10) for gamma in (0.0005, 0.001, 0.002)),
    *(("forest", {"n_estimators": n, "max_depth": depth}) for n in (60, 120) for depth in (8, None)),
    *(("extra-trees", {"n_estimators": n}) for n in (60, 120, 240)),
    *(("neighbours", {"n_neighbors": k}) for k in (1, 3, 5, 9)),
    *(("logistic", {"C": c}) for c in (0.05, 0.5, 5.0)),
    *(("network", {"hidden_layer_sizes": layers}) for layers in ((32,), (64,), (128,), (64, 64))),
]


def build(family: str, parameters: dict[str, Any]) -> Any:
    """The untrained model of one candidate."""
    if family == "svc-rbf":
        return SVC(**parameters)
    if family == "forest":
        return RandomForestClassifier(random_state=SEED, **parameters)
    if family == "extra-trees":
        return ExtraTreesClassifier(random_state=SEED, **parameters)
    if family == "neighbours":
        return KNeighborsClassifier(**parameters)
    if family == "logistic":
        return make_pipeline(StandardScaler(), LogisticRegression(max_iter=400, **parameters))
    network = MLPClassifier(max_iter=120, early_stopping=True, random_state=SEED, **parameters)
    return make_pipeline(StandardScaler(), network)


def main() -> None:
    index = int(os.environ["WEIR_ARRAY_INDEX"])
    family, parameters = CANDIDATES[index % len(CANDIDATES)]
    images, labels = load_digits(return_X_y=True)
    seen_x, _, seen_y, _ = train_test_split(images, labels, test_size=0.2, random_state=SEED, stratify=labels)
    train_x, check_x, train_y, check_y = train_test_split(
        seen_x, seen_y, test_size=0.25, random_state=SEED, stratify=seen_y
    )
    model = build(family, parameters)
    began = time.perf_counter()
    model.fit(train_x, train_y)
    seconds = time.perf_counter() - began
    result = {
        "index": index,
        "job": os.environ["WEIR_JOB_ID"],
        "devices": os.environ.get("WEIR_DEVICES", ""),
        "family": family,
        "parameters": parameters,
        "validation_accuracy": float(model.score(check_x, check_y)),
        "validation_images": len(check_y),
        "fit_seconds": round(seconds, 3),
    }
    Path("result.json").write_text(json.dumps(result, indent=2), encoding="utf-8")
    joblib.dump(model, "model.joblib", compress=3)
    print(
        f"{family} {parameters}: validation accuracy {result['validation_accuracy']:.4f} in {seconds:.2f} s"
    )


main()
