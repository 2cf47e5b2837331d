"""Files that a later jaxgen may write, made of a golden one."""

from golden import calls

FORMAT_2 = calls.HERE / "format2"
MODEL = FORMAT_2 / "cddpm.onnx"
SEED = calls.seeds(FORMAT_2)["cddpm"]
IMAGES = calls.answers(FORMAT_2, "cddpm")


def later(manifest: dict) -> None:
    """A training key of another name, and keys that nobody knows wherever there may be some."""
    training = manifest["config"]["training"]
    training["steps_per_call"] = training.pop("scan_steps")

    def surprised(value: object) -> object:
        if isinstance(value, list):
            return [surprised(one) for one in value]
        if not isinstance(value, dict):
            return value
        more = {key: surprised(one) for key, one in value.items()}
        tables = value and all(isinstance(one, dict) and "table" in one for one in value.values())
        return more if tables else more | {"surprise": {"a": [1, None]}}  # `plans` has names for keys

    manifest |= surprised(manifest)


def demanding(manifest: dict) -> None:
    manifest["requires"] = ["x"]


def of(key: str, value: object):
    """A change of the inference section, at a dotted key."""

    def change(manifest: dict) -> None:
        *sections, leaf = key.split(".")
        place = manifest["inference"]
        for name in sections:
            place = place[name]
        place[leaf] = value

    return change


# What of a process this jaxgen does not know, and what it says of that.
UNKNOWN = {
    "schedule": (of("process.schedule", "karras"), "the model's noise schedule 'karras'"),
    "prediction": (of("process.prediction", "score"), "the model's prediction 'score'"),
    "process": (of("process", {"kind": "edm", "sigma": 80}), "the model's process 'edm'"),
    "sampler": (of("plan", {"sampler": "heun", "steps": 4, "eta": 0.0}), "unknown sampler 'heun'"),  # two rows a step
}
