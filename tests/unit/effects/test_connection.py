"""The way to the API server leads through the proxy that the environment names, found out once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lora_operator.effects.api.connection import load_configuration

_KUBECONFIG = {
    "clusters": [{"name": "one", "cluster": {"server": "https://api.example.org:6443"}}],
    "users": [{"name": "one", "user": {"token": "x"}}],
    "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
    "current-context": "one",
}


@pytest.mark.parametrize(
    ("without_proxy", "expected"),
    [("", "http://proxy.example.org:3128"), ("other.org,.example.org", None)],
)
async def test_the_proxy_is_that_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without_proxy: str, expected: str | None
) -> None:
    (tmp_path / "config").write_text(json.dumps(_KUBECONFIG))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    for name, value in (("https_proxy", "http://proxy.example.org:3128"), ("no_proxy", without_proxy)):
        monkeypatch.setenv(name, value)
        monkeypatch.setenv(name.upper(), value)
    monkeypatch.setattr("kubernetes.aio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "config"))

    configuration = await load_configuration()

    assert configuration.proxy == expected
    assert configuration.client_session_kwargs == {"trust_env": False}
