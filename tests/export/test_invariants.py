"""Files that reproduce their certificate and are broken elsewhere: they are refused, by what no longer holds."""

import json

import numpy as np
import pytest
from adopting import refusal
from golden import calls
from later import UNKNOWN
from onnx import helper, numpy_helper

from jaxgen.inference import model_file
from jaxgen.inference.opening import opened
from jaxgen.inference.verify import verify
from jaxgen_export.adopt import TRUSTED, resign

FILES = calls.HERE / "format2"
TWO_PARTS = "a plan in two parts, with `state` between them, no longer gives what the whole plan gives"


def scaled(name, factor, when=None):
    """A change that multiplies a tensor; when: ("Less" or "Greater", n), only in batches of fewer or more than n."""

    def change(model):
        graph = model.graph
        numbers = {"factor": np.float32([factor]), "unit_": np.float32([1]), "limit": np.int64([(when or (0, 0))[1]])}
        graph.initializer.extend(numpy_helper.from_array(value, f"{name}/{key}") for key, value in numbers.items())
        factor_of = [
            helper.make_node("Shape", [graph.input[0].name], [f"{name}/count"], start=0, end=1),
            helper.make_node(when[0], [f"{name}/count", f"{name}/limit"], [f"{name}/when"]),
            helper.make_node("Where", [f"{name}/{one}" for one in ("when", "factor", "unit_")], [f"{name}/by"]),
        ] if when else [helper.make_node("Identity", [f"{name}/factor"], [f"{name}/by"])]  # fmt: skip
        nodes = list(graph.node)
        made = [at for at, node in enumerate(nodes) if name in node.output]
        if made:
            whole, result = f"{name}/whole", name
            nodes[made[0]].output[:] = [whole if one == name else one for one in nodes[made[0]].output]
        else:
            whole, result = name, f"{name}/scaled"
            for node in nodes:
                node.input[:] = [result if one == name else one for one in node.input]
        at = made[0] + 1 if made else 0
        nodes[at:at] = [*factor_of, helper.make_node("Mul", [whole, f"{name}/by"], [result])]
        del graph.node[:]
        graph.node.extend(nodes)

    return change


def frozen_count(model):
    """As a tool does that takes the sizes of the example for those of every batch."""
    for at, node in enumerate(model.graph.node):
        if list(node.output) == ["count"]:
            size = numpy_helper.from_array(np.array([8]))
            model.graph.node[at].CopyFrom(helper.make_node("Constant", [], ["count"], value=size))


# --- batches


@pytest.mark.parametrize(
    ("name", "tensor", "probe"),
    [("gan", "x_end", 8), ("ddpm", "x_end", 8), ("classifier", "logits", 8), ("cddpm.network", "out", 4)],
)
def test_file_that_gives_something_else_in_other_batches_is_refused(changed, name, tensor, probe):
    fewer = refusal(changed(FILES / f"{name}.onnx", scaled(tensor, 0.5, ("Less", probe))))
    assert ": one by one it no longer gives what it gives in a batch: " in fewer
    more = refusal(changed(FILES / f"{name}.onnx", scaled(tensor, 0.5, ("Greater", probe))))
    assert ": in a batch of another size it no longer gives the same: " in more
    for line in (fewer, more):
        assert ("of pixels identical" in line) == (name in calls.SAMPLERS) != ("relative apart" in line)


def test_batch_of_one_size_alone_is_refused(changed):
    line = refusal(changed(FILES / "gan.onnx", frozen_count))
    assert ": one by one it no longer gives what it gives in a batch: onnxruntime failed: " in line


def test_network_for_one_batch_size_alone_is_not_asked_for_others(changed):
    path = changed(FILES / "gan.network.onnx", lambda model: model.metadata_props.add(key="tool", value="was here"))
    path.write_bytes(resign(path))
    file = model_file.read(path)
    assert file.inference.batch and verify(opened(file))["same"]


def test_file_composed_to_depend_on_its_batch_may_do_so_and_must_still_run(changed, restamped):
    def as_composed(manifest):
        manifest["parent"] = {"batch_dependent": True}

    source = restamped(FILES / "gan.onnx", manifest=as_composed)
    assert resign(changed(source, scaled("x_end", 0.5, ("Less", 8))))
    assert "one by one" in refusal(changed(source, frozen_count))


# --- state and noise


@pytest.mark.parametrize(("name", "tensor"), [("ddpm", "x_given"), ("ddpm", "x0_given"), ("cddpm", "x_given")])
def test_state_that_is_taken_otherwise_is_refused(changed, name, tensor):
    assert f": {TWO_PARTS}: " in refusal(changed(FILES / f"{name}.onnx", scaled(tensor, 0.5)))


def test_state_that_is_given_otherwise_is_refused(changed):
    assert f": {TWO_PARTS}: " in refusal(changed(FILES / "ddpm.onnx", scaled("both_ends", 0.5)))


def test_state_that_is_taken_and_given_otherwise_is_refused(changed):
    """A plan in two parts gives the same, but not a state that a client makes of its own noise."""

    def change(model):
        scaled("x_given", 0.5)(model)
        scaled("x0_given", 0.5)(model)
        scaled("both_ends", 2)(model)

    line = refusal(changed(FILES / "ddpm.onnx", change))
    assert ": a seed no longer gives what its noise gives as `state`: " in line


@pytest.mark.parametrize("name", ["gan", "vae"])
def test_latent_that_is_taken_otherwise_is_refused(changed, name):
    line = refusal(changed(FILES / f"{name}.onnx", scaled("latent", 0.5)))
    assert ": a seed no longer gives what its noise gives as `latent`: " in line


@pytest.mark.parametrize("name", ["gan", "ddpm"])
def test_index_that_is_cut_off_is_refused(changed, name):
    """The certificate's are 0 to 7."""

    def change(model):
        model.graph.initializer.append(numpy_helper.from_array(np.array(255), "most"))
        model.graph.node.insert(0, helper.make_node("Min", ["index", "most"], ["index/cut"]))
        for node in model.graph.node[1:]:
            node.input[:] = ["index/cut" if one == "index" else one for one in node.input]

    assert ": a seed no longer gives what its noise gives as " in refusal(changed(FILES / f"{name}.onnx", change))


# --- what the manifest says of plans and guidance


def recorded(change):
    """A change of the manifest, which keeps its old hash."""

    def apply(model):
        (entry,) = (entry for entry in model.metadata_props if entry.key == "jaxgen")
        manifest = json.loads(entry.value)
        change(manifest)
        entry.value = json.dumps(manifest)

    return apply


def another_schedule(manifest):
    manifest["inference"]["process"]["schedule"] = "sigmoid"


def another_prediction(manifest):
    manifest["inference"]["process"]["prediction"] = "eps"


def another_recipe(manifest):
    manifest["inference"]["plan"]["steps"] = 9


def another_named_table(manifest):
    manifest["plans"]["ddim-50"]["table"] = manifest["plans"]["dpmpp-2m-20"]["table"]


def another_guidance(manifest):
    manifest["inference"]["guidance"] = 2.0


def no_table(manifest):
    manifest["plans"]["ddim-20"]["table"] = "?"


def too_many_steps(manifest):
    manifest["plans"]["ddim-20"]["steps"] = 51


RECORDS = {
    another_schedule: "its plan 'ddim-50' is not that of 50 steps of ddim, eta 0, for the process in its manifest",
    another_prediction: "its plan 'ddim-50' is not that of 50 steps of ddim, eta 0, for the process in its manifest",
    another_recipe: "its plan 'default' is not that of 9 steps of dpmpp-2m, eta 0, for the process in its manifest",
    another_named_table: "its plan 'ddim-50' is not that of 50 steps of ddim",
    another_guidance: "its default guidance is 1.5, and 2.0 in its manifest",
    no_table: "its manifest's plan 'ddim-20' cannot be read",
    too_many_steps: "its plan 'ddim-20' cannot be made: sampling steps must be from 1 to 50",
}


@pytest.mark.parametrize("change", RECORDS, ids=lambda change: change.__name__)
def test_manifest_that_says_something_else_than_the_graph_is_refused(changed, change):
    assert RECORDS[change] in refusal(changed(FILES / "cddpm.onnx", recorded(change)))


def test_default_plan_of_the_graph_is_compared_where_the_manifest_names_none(changed):
    for name, change in (("cddpm", another_schedule), ("flow", lambda manifest: None)):

        def unnamed(manifest, change=change):
            del manifest["plans"]
            change(manifest)

        def other(model, unnamed=unnamed, name=name):
            recorded(unnamed)(model)
            (plan,) = (tensor for tensor in model.graph.initializer if tensor.name == "plan")
            if name == "flow":
                table = numpy_helper.to_array(plan).copy()
                table[0, 0] *= np.float32(1.00001)
                plan.CopyFrom(numpy_helper.from_array(table, "plan"))

        assert "its default plan is not that of " in refusal(changed(FILES / f"{name}.onnx", other))


@pytest.mark.parametrize("part", UNKNOWN)
def test_plans_of_an_unknown_process_are_not_compared(changed, part):
    change, _ = UNKNOWN[part]
    path = changed(FILES / "cddpm.onnx", recorded(change))
    path.write_bytes(resign(path))
    assert verify(opened(model_file.read(path)))["same"]


def test_what_is_taken_on_trust_is_said(changed):
    told = []
    resign(changed(FILES / "gan.onnx", lambda model: model.metadata_props.add(key="a", value="b")), told.append)
    assert told[-1] == TRUSTED and "class names" in TRUSTED and "the record of the training" in TRUSTED
