from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import huggingface_hub
import pytest
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

from ebmlm.errors import UserError
from ebmlm.models.hub import hub_snapshot


def raising(error: Exception) -> Any:
    def fail(*args: object, **kwargs: object) -> None:
        raise error

    return fail


def test_an_unreachable_hub_is_one_line(no_hub: None) -> None:
    with pytest.raises(
        UserError, match=r"'owner/model'.*no route to the hub.*local folder"
    ) as info:
        hub_snapshot("owner/model")
    assert "second line" not in str(info.value)


def test_without_network_what_is_in_the_hubs_cache_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[dict[str, Any]] = []

    def snapshot(hub_id: str, **options: Any) -> str:
        asked.append(options)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", raising(OSError("away")))
    assert hub_snapshot("owner/model") == tmp_path
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *args, **kwargs: None)
    assert hub_snapshot("owner/model") == tmp_path
    assert [options.get("local_files_only", False) for options in asked] == [True, False]
    assert not any("bin" in pattern for pattern in asked[1]["allow_patterns"])


@pytest.mark.parametrize(
    ("kind", "message"),
    [(GatedRepoError, "gated: accept its terms"), (RepositoryNotFoundError, "check the spelling")],
)
def test_a_model_that_may_not_be_read_is_explained(
    monkeypatch: pytest.MonkeyPatch, no_hub: None, kind: Any, message: str
) -> None:
    error = kind("server's words", response=MagicMock())
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", raising(error))
    with pytest.raises(UserError, match=message):
        hub_snapshot("owner/model")


def test_a_download_that_breaks_off_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *args, **kwargs: None)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", raising(RuntimeError("broke\noff")))
    with pytest.raises(UserError, match=r"cannot get 'owner/model' from the hub \(broke\)"):
        hub_snapshot("owner/model")


def test_an_impossible_id_is_refused_by_rule() -> None:
    with pytest.raises(UserError, match="'owner/a model' is neither a folder nor a hub id"):
        hub_snapshot("owner/a model")
