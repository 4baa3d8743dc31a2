"""XGBoost's trees as an ONNX graph, which onnxruntime scores a single row of far sooner.

Only what is known to be the same is converted; everything else raises NotConvertibleError and is
served by XGBoost itself. The result is still compared with the native model before it is used.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace_tabular.errors import TabularError

# How XGBoost turns the sum of the leaves into its answer, and base_score into that sum's start.
LINKS = {
    "binary:logistic": "Sigmoid",
    "reg:logistic": "Sigmoid",
    "multi:softprob": "Softmax",
    "count:poisson": "Exp",
    "reg:gamma": "Exp",
    "reg:tweedie": "Exp",
    "reg:squarederror": "Identity",
    "reg:absoluteerror": "Identity",
    "reg:pseudohubererror": "Identity",
}


class NotConvertibleError(TabularError):
    """This booster is not a plain sum of trees that the converter knows."""


def convert(booster: Any) -> Any:
    """Return an onnx.ModelProto from `features` [rows, n] float32 to `scores`.

    Scores are [rows, 1] for one target, or [rows, classes]. Raises NotConvertibleError.
    """
    from onnx import TensorProto, checker, helper  # slow, used once

    document = json.loads(bytes(booster.save_raw("json")))["learner"]
    objective = document["objective"]["name"]
    if objective not in LINKS:
        raise NotConvertibleError(f"objective {objective} is not converted")
    if document["gradient_booster"]["name"] != "gbtree":
        raise NotConvertibleError(f"a {document['gradient_booster']['name']} is not converted")
    targets = max(1, int(document["learner_model_param"]["num_class"]))
    attributes = tree_attributes(document["gradient_booster"]["model"])
    ensemble = helper.make_node(
        "TreeEnsembleRegressor",
        ["features"],
        ["sums"],
        domain="ai.onnx.ml",
        n_targets=targets,
        aggregate_function="SUM",
        post_transform="NONE",
        base_values=base_values(document, targets),
        **attributes,
    )
    link = helper.make_node(LINKS[objective], ["sums"], ["scores"])
    columns = int(document["learner_model_param"]["num_feature"])
    graph = helper.make_graph(
        [ensemble, link],
        "headrace",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, columns])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, targets])],
    )
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    checker.check_model(model)
    return model


def base_values(document: Mapping[str, Any], targets: int) -> list[float]:
    """Return what the sums start from: base_score, which is stored after the link."""
    stored = json.loads(str(document["learner_model_param"]["base_score"]))
    values = [float(value) for value in (stored if isinstance(stored, list) else [stored])]
    link = LINKS[document["objective"]["name"]]
    if link == "Sigmoid":
        values = [math.log(value / (1 - value)) for value in values]
    elif link == "Exp":
        values = [math.log(value) for value in values]
    return values * targets if len(values) == 1 else values


def tree_attributes(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the node and leaf attributes of TreeEnsembleRegressor for all trees."""
    parts: dict[str, list[NDArray[Any]]] = {}
    for number, (tree, target) in enumerate(zip(model["trees"], model["tree_info"], strict=True)):
        if any(tree.get("split_type") or ()) or int(tree["tree_param"]["size_leaf_vector"]) > 1:
            raise NotConvertibleError("categorical splits and vector leaves are not converted")
        left = np.array(tree["left_children"], dtype=np.int64)
        leaf = left < 0
        values = np.array(tree["split_conditions"], dtype=np.float32)
        nodes = np.arange(len(left))
        columns = {
            "nodes_treeids": np.full(len(left), number),
            "nodes_nodeids": nodes,
            "nodes_featureids": np.where(leaf, 0, tree["split_indices"]),
            "nodes_values": np.where(leaf, np.float32(0), values),
            "nodes_modes": np.where(leaf, "LEAF", "BRANCH_LT"),
            "nodes_truenodeids": np.where(leaf, 0, left),
            "nodes_falsenodeids": np.where(leaf, 0, tree["right_children"]),
            "nodes_missing_value_tracks_true": np.where(leaf, 0, tree["default_left"]),
            "target_treeids": np.full(leaf.sum(), number),
            "target_nodeids": nodes[leaf],
            "target_ids": np.full(leaf.sum(), target),
            "target_weights": values[leaf],
        }
        for name, column in columns.items():
            parts.setdefault(name, []).append(column)
    if not parts:
        raise NotConvertibleError("the booster has no trees")
    return {name: np.concatenate(columns).tolist() for name, columns in parts.items()}
