from __future__ import annotations

import re

from ebmlm.models import PACKAGED_MODELS


def test_every_entry_is_pinned_and_named_by_its_key() -> None:
    assert "smollm2-135m" in PACKAGED_MODELS
    for name, model in PACKAGED_MODELS.items():
        assert model.name == name
        assert re.fullmatch(r"[a-z0-9-]+==[0-9.]+", model.requirement)
        assert re.fullmatch(r"[0-9a-f]{64}", model.wheel_sha256)
        assert model.member.endswith(".gguf")
        assert model.hub_id.count("/") == 1
        assert model.disk_bytes > model.wheel_bytes
        # Near-misses are compared in lower case, and a name must not look like a hub id or path.
        assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name)
