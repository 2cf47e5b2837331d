"""Upgrading manifests of format 1, which had the training config instead of an inference section."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxgen.config.renames import Say, renamed, to_stderr
from jaxgen.errors import JaxgenError

KINDS = ("ddpm", "flow", "vae", "gan", "classifier")  # families that format 1 had
UPGRADED = ("kind", "classes")  # entries of format 1 that moved into the inference section


def upgraded(manifest: Mapping[str, Any], name: str, say: Say | None = None) -> dict[str, Any]:
    """The manifest with an inference section made from its config, whose other keys are ignored.

    name: of the file in messages; say: receives a line for each relevant key read by an old name; None: stderr.
    Raises JaxgenError if its family, its class names or a relevant key is not understood.
    """
    read = _Config(manifest.get("config"), name)
    inference = _inference(manifest, read, name)
    for line in read.renames():
        (say or to_stderr)(f"{name}: {line}")
    kept = {key: value for key, value in manifest.items() if key not in UPGRADED}
    return {**kept, **_certificate(manifest), "requires": [], "inference": inference}


def _certificate(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The certificate with the probe's "pictures", an old name, as "images"."""
    certificate = manifest.get("certificate")
    probe = certificate.get("probe") if isinstance(certificate, Mapping) else None
    if not isinstance(certificate, Mapping) or not isinstance(probe, Mapping) or "pictures" not in probe:
        return {}
    current = {("images" if key == "pictures" else key): value for key, value in probe.items()}
    return {"certificate": {**certificate, "probe": current}}


def _inference(manifest: Mapping[str, Any], read: _Config, name: str) -> dict[str, Any]:
    """The section as plain values; `Inference.parse` checks their ranges."""
    family, kind = read("family", str, "ddpm"), manifest.get("kind", "sampler")
    if family not in KINDS:
        raise JaxgenError(f"{name}: unknown family {family[:60]!a}; files of format 1 have {', '.join(KINDS)}")
    size = read("data.size", int, 8)
    shape = [size, size, read("data.channels", int, 1)]
    inference: dict[str, Any] = {"kind": kind, "image_shape": shape, "classes": _classes(manifest, read, family, name)}
    if family == "vae":
        sigma = read("vae.sigma", float, 0.1)
        inference["likelihood"] = {"kind": read("vae.likelihood", str, "bernoulli"), "sigma": sigma}
    if kind != "sampler":
        return inference
    if family in ("vae", "gan"):
        latent = read("model.latent", int, 20 if family == "vae" else 100)
        named = {"null_class": not inference["classes"], "noise_shape": [latent], "process": None}
        return inference | named
    process = _diffusion(read) if family == "ddpm" else _flow(read)
    guidance = {"guidance": read(f"{_section(family)}.guidance", float, 1.0)} if inference["classes"] else {}
    return inference | {"null_class": True, "noise_shape": shape} | process | guidance


def _diffusion(read: _Config) -> dict[str, Any]:
    steps, sampler = read("diffusion.steps", int, 1000), read("diffusion.sampler", str, "ddim")
    # In format 1 a plan of 'ancestral', and of no other sampler, took all T steps.
    sampler_steps = steps if sampler == "ancestral" else read("diffusion.sampler_steps", int, 50)
    process = {
        "kind": "diffusion",
        "steps": steps,
        "schedule": read("diffusion.schedule", str, "linear"),
        "beta_start": read("diffusion.beta_start", float, 1e-4),
        "beta_end": read("diffusion.beta_end", float, 0.02),
        "prediction": read("diffusion.prediction", str, "eps"),
        "clip": 1.0,
    }
    plan = {"sampler": sampler, "steps": sampler_steps, "eta": read("diffusion.eta", float, 0.0)}
    return {"process": process, "plan": plan}


def _flow(read: _Config) -> dict[str, Any]:
    process = {"kind": "flow", "time_scale": read("flow.time_scale", float, 1000.0)}
    plan = {"sampler": read("flow.sampler", str, "euler"), "steps": read("flow.sampler_steps", int, 50), "eta": 0.0}
    return {"process": process, "plan": plan}


def _section(family: str) -> str:
    return {"ddpm": "diffusion"}.get(family, family)


def _classes(manifest: Mapping[str, Any], read: _Config, family: str, name: str) -> list[str]:
    """The class names, as many as in the config."""
    count = read("model.classes", int, 10 if family == "classifier" else 0)
    if not isinstance(names := manifest.get("classes"), list):
        raise JaxgenError(f"{name}: its manifest has no list of 'classes'; export it again")
    if len(names) != count:
        raise JaxgenError(f"{name}: expected the names of {count} classes in its manifest, got {len(names)}")
    return [str(one) for one in names]


class _Config:
    """A config read key by key, by current names; missing keys have the defaults of that time."""

    def __init__(self, config: object, name: str) -> None:
        if not isinstance(config, Mapping):
            raise JaxgenError(f"{name}: its manifest has no 'config'; export it again")
        self._name = name
        self._values, self._changes = renamed(config)
        self._read: set[str] = set()

    def __call__(self, key: str, kind: type, default: Any) -> Any:
        self._read.add(key)
        value: Any = self._values
        for part in key.split("."):
            if not isinstance(value, Mapping) or part not in value:
                return default
            value = value[part]
        if type(value) not in ((int, float) if kind is float else (kind,)):
            expected = {int: "an integer", float: "a number", str: "a string"}[kind]
            raise JaxgenError(
                f"{self._name}: its config: {key!r} must be {expected}, got {ascii(value)[:60]}; export it again"
            )
        return value

    def renames(self) -> list[str]:
        """A line for each key that was read by an old name."""
        return [str(change) for change in self._changes if change.new and any(map(change.covers, self._read))]
