"""Table of renamed, merged and removed settings.

It has two uses. A user's file or `--set` with an old name is refused, and the error names the new one (`advice`). The resolved
configuration of an old run is translated when it is read (`upgrade`). The digest in its checkpoints is compared in the old form
(`downgrade`).
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from tina_azr.config.yaml import write_yaml
from tina_azr.errors import ConfigError

RENAMED: Mapping[str, str] = {
    "selfplay.think_wall": "selfplay.think_limit",
    "introspection.stretch_share": "introspection.chained_share",
    "introspection.sample_by_c0": "introspection.sample_by_confidence",
    "serve.allow_visible_thoughts": "serve.allow_visible_reasoning",
}
REMOVED: Mapping[str, Any] = {
    "tasks.mask_constants": True,
    "tasks.structure_window": 1500,
    "selfplay.backend": "native",
    "learning.beta1": 0.9,
    "learning.weight_decay": 0.0,
    "introspection.experts": 1,
    "introspection.lr": 0.001,
    "introspection.averaging": 0.98,
    "introspection.weight_decay": 0.05,
    "introspection.window_steps": 16,
    "introspection.updates_per_step": 24,
    "introspection.batch_size": 128,
    "introspection.probe_size": 4,
    "introspection.reward_min_labels": 512,
    "introspection.adapter_rank": 0,
    "introspection.film": False,
    "introspection.gate_layer": None,
    "serve.body_bytes": 1_048_576,
    "serve.messages": 512,
    "serve.prompt_chars": 500_000,
    "serve.choices": 16,
    "serve.read_seconds": 20.0,
    "serve.ping_seconds": 15.0,
}
"""Removed settings and the constant that replaces each."""
MERGED: Mapping[str, str] = {
    "selfplay.length_cap_rate": "`selfplay.length_cap`: the pass rate, or null for no cap",
    "introspection.train_heads": "`introspection.heads`: an empty list trains no heads",
    "introspection.all_layers": "`introspection.taps: all`",
    "heldout.which": "`heldout.tasks`: report, choose or a file",
    "heldout.path": "`heldout.tasks`: report, choose or a file",
}
"""Settings that are now part of another one, and how to write them there."""

UNSEEN: Mapping[str, Mapping[str, Any]] = {
    "selfplay": {"length_cap_rate": 0.3},
    "introspection": {"heads": ["tap"]},
    "heldout": {"which": "report"},
}
"""Defaults of the previous release for values that have no effect while a setting is off. The new form cannot hold them."""

Values = dict[str, Any]


def advice(dotted: str) -> str | None:
    """Return the end of the sentence "`<setting>` ...", which says what replaces an old name. None for a name that never existed."""
    if dotted in RENAMED:
        return f"is now `{RENAMED[dotted]}`"
    if dotted in REMOVED:
        return f"was removed: its value is always {write_yaml(REMOVED[dotted], inline=True)}. Leave it out"
    if dotted in MERGED:
        return f"was merged into {MERGED[dotted]}"
    return None


def is_old(values: Mapping[str, Any]) -> bool:
    """Return whether a configuration has a setting by an old name."""
    return any(_has(values, dotted) for dotted in (*RENAMED, *REMOVED, *MERGED))


def upgrade(values: Mapping[str, Any]) -> Values:
    """Return the resolved configuration of an earlier release in the present form.

    Raises ConfigError if a removed setting has another value than its constant, or if a setting is given by its old and its new name.
    """
    new = deepcopy(dict(values))
    for dotted, constant in REMOVED.items():
        if _has(new, dotted) and (found := _take(new, dotted)) != constant:
            raise ConfigError(
                f"`{dotted}` is {write_yaml(found, inline=True)}, but this release has it fixed at {write_yaml(constant, inline=True)}. "
                "Use the release that wrote this file"
            )
    for old, name in RENAMED.items():
        if not _has(new, old):
            continue
        if _has(new, name):
            raise ConfigError(f"`{old}` is the old name of `{name}`, and both are given. Remove `{old}`")
        _put(new, name, _take(new, old))
    if _has(new, "selfplay.length_cap_rate"):
        rate = _take(new, "selfplay.length_cap_rate")
        cap = new["selfplay"].get("length_cap", True)
        if not isinstance(cap, bool):
            raise ConfigError(
                "`selfplay.length_cap_rate` is now part of `selfplay.length_cap`, and both are given. Remove the old one"
            )
        new["selfplay"]["length_cap"] = rate if cap else None
    if _has(new, "introspection.train_heads") and not _take(new, "introspection.train_heads"):
        new["introspection"]["heads"] = []
    if _has(new, "introspection.all_layers") and _take(new, "introspection.all_layers"):
        new["introspection"]["taps"] = "all"
    given = [_take(new, dotted) for dotted in ("heldout.path", "heldout.which") if _has(new, dotted)]
    if given:
        if _has(new, "heldout.tasks"):
            raise ConfigError("`heldout.which` and `heldout.path` are now `heldout.tasks`, and both are given. Remove the old ones")
        if tasks := next(filter(None, given), None):
            new["heldout"]["tasks"] = tasks
    return new


def downgrade(values: Mapping[str, Any], like: Mapping[str, Any] = UNSEEN) -> Values:
    """Return a whole resolved configuration in the form of the previous release.

    `like` is the configuration that the previous release wrote. It supplies the values that the new form cannot hold (`UNSEEN`): the pass
    rate of a length cap that is off, the forms of heads that are not trained, the embedded set that is not used.
    """

    def unseen(section: str, name: str) -> Any:
        return like[section][name] if _has(like, f"{section}.{name}") else UNSEEN[section][name]

    old = deepcopy(dict(values))
    for dotted, constant in REMOVED.items():
        _put(old, dotted, constant)
    for name, new in RENAMED.items():
        _put(old, name, _take(old, new))
    cap = old["selfplay"]["length_cap"]
    old["selfplay"] |= {
        "length_cap": cap is not None,
        "length_cap_rate": unseen("selfplay", "length_cap_rate") if cap is None else cap,
    }
    section, heads = old["introspection"], old["introspection"]["heads"]
    section |= {
        "train_heads": bool(heads),
        "heads": heads or unseen("introspection", "heads"),
        "all_layers": section["taps"] == "all",
    }
    if section["all_layers"]:
        section["taps"] = None
    tasks = old["heldout"].pop("tasks")
    embedded = tasks in ("report", "choose")
    old["heldout"] |= {"which": tasks if embedded else unseen("heldout", "which"), "path": None if embedded else tasks}
    return old


def _has(values: Mapping[str, Any], dotted: str) -> bool:
    # A section may be null, or not a mapping in a file that somebody edited: then validation reports it.
    section, _, name = dotted.partition(".")
    content = values.get(section)
    return isinstance(content, Mapping) and name in content


def _take(values: Values, dotted: str) -> Any:
    section, _, name = dotted.partition(".")
    return values[section].pop(name)


def _put(values: Values, dotted: str, value: Any) -> None:
    section, _, name = dotted.partition(".")
    values[section][name] = value
