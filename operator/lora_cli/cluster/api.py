"""Requests to the API server, and what is said where it cannot be asked, or refuses."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import urllib3
import yaml
from kubernetes import client, config

from lora_cli.clean import one_line
from lora_cli.errors import CommandError

#: Seconds to connect, and between two pieces of an answer.
TIMEOUT = (5, 30)
_CONTENT_TYPES = {"PATCH": "application/merge-patch+json", "APPLY": "application/apply-patch+yaml"}
_PAGE = 500
#: Bytes after which a line is one, whether it ends or not.
_LONGEST_LINE = 1 << 20
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
#: What the client raises for a kubeconfig of another form, depending on the part.
_UNFIT = (config.ConfigException, yaml.YAMLError, OSError, ValueError, TypeError, LookupError, AttributeError)
_FORBIDDEN = re.compile(r'cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"')


class ApiError(CommandError):
    """The API server refused; `status` is its code."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class UnreachableError(CommandError):
    """The API server did not answer."""


class Api:
    """The API server that a context of the kubeconfig names, or that of the pod in which this runs.

    Raises:
        CommandError: there is no kubeconfig, or it cannot be used.
    """

    def __init__(self, context: str | None) -> None:
        settings = client.Configuration()
        settings.retries = urllib3.Retry(connect=0, read=1, redirect=0, other=0)
        try:
            self.context, self.namespace = _load(context, settings)
        except _UNFIT as error:
            raise CommandError(f"The kubeconfig cannot be used: {one_line(str(error))}") from None
        self._server = str(settings.host)
        self._client = client.ApiClient(configuration=settings)

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """Read an object.

        Raises:
            ApiError: it is not there, or may not be read.
            UnreachableError: there is no answer.
        """
        return self._json(self._send("GET", path, query))

    def items(self, path: str, **query: str) -> Iterator[dict[str, Any]]:
        """Read all objects of a list, page by page.

        Raises:
            ApiError: they may not be listed.
            UnreachableError: there is no answer.
        """
        more = {"limit": str(_PAGE)}
        while True:
            page = self.get(path, **query, **more)
            yield from page.get("items") or []
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return
            more["continue"] = token

    def write(self, method: str, path: str, body: Mapping[str, Any], **query: str) -> dict[str, Any]:
        """Create an object (POST), merge into one (PATCH), or apply one server-side (APPLY); the object after that.

        Raises:
            ApiError: the API server refuses.
            UnreachableError: there is no answer.
        """
        return self._json(self._send(method, path, query, dict(body)))

    def lines(self, path: str, timeout: float, **query: str) -> Iterator[str]:
        """Read a text line by line while it is written. `timeout`: seconds between two pieces of it.

        Raises:
            ApiError: it may not be read, or is not there.
            UnreachableError: there is no answer, or it broke off.
        """
        answer = self._send("GET", path, query, timeout=(TIMEOUT[0], timeout))
        rest = b""
        try:
            for piece in answer.response.stream(amt=None, decode_content=True):
                *whole, rest = (rest + piece).split(b"\n")
                if len(rest) > _LONGEST_LINE:
                    whole, rest = [*whole, rest], b""
                yield from (text.decode("utf-8", "replace") for text in whole)
        except urllib3.exceptions.HTTPError as error:
            raise self._unreachable(error) from None
        finally:
            answer.response.close()
        if rest:
            yield rest.decode("utf-8", "replace")

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: dict[str, Any] | None = None,
        timeout: tuple[float, float] = TIMEOUT,
    ) -> Any:
        kind = _CONTENT_TYPES.get(method, "application/json")
        request = self._client.param_serialize(
            method="PATCH" if method == "APPLY" else method,
            resource_path=path,
            query_params=list(query.items()),
            header_params={"Accept": "application/json, */*", "Content-Type": kind},
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            answer = self._client.call_api(*request, _request_timeout=timeout)
            if answer.status >= 400:
                raise self._refusal(answer.status, answer.read())
        except urllib3.exceptions.HTTPError as error:
            raise self._unreachable(error) from None
        except client.ApiException as error:  # TLS: the client has no status for it
            raise self._unreachable(error) from None
        return answer

    def _json(self, answer: Any) -> dict[str, Any]:
        try:
            body = json.loads(answer.read())
        except urllib3.exceptions.HTTPError as error:
            raise self._unreachable(error) from None
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise CommandError(f"{self._server} gave an answer that is none of an API server; is {self._who} right?")
        return body

    @property
    def _who(self) -> str:
        return f"context {self.context}" if self.context else "this pod's ServiceAccount"

    def _unreachable(self, error: Exception) -> UnreachableError:
        cause = getattr(error, "reason", None) or error
        text = one_line(str(cause)).rpartition(">: ")[2]
        return UnreachableError(
            f"The cluster of {self._who} ({self._server}) does not answer: {text}."
            " Is it the right one? `kubectl config get-contexts` lists them, --context names one."
        )

    def _refusal(self, status: int, body: bytes) -> ApiError:
        try:
            message = one_line(str(json.loads(body)["message"]))
        except (TypeError, ValueError, KeyError):
            message = one_line(body[:300].decode("utf-8", "replace")) or f"HTTP {status}"
        if status == 401:
            message = f"The cluster does not accept the credentials of {self._who}. Log in anew."
        elif status == 403 and (found := _FORBIDDEN.search(message)) is not None:
            group = f" of API group {found['group']}" if found["group"] else ""
            message = (
                f"You may not do this with {self._who}: it needs the verb {found['verb']} on the resource"
                f" {found['resource']}{group}. Ask for a Role that has it; the server says: {message}"
            )
        return ApiError(message, status)


def _load(context: str | None, settings: client.Configuration) -> tuple[str, str]:
    """Read kubeconfig, or the account of the pod; the name of the context (empty in a pod) and its namespace."""
    in_pod = "KUBERNETES_SERVICE_HOST" in os.environ and _ACCOUNT.exists()
    files = os.environ.get("KUBECONFIG") or "~/.kube/config"
    has_config = any(Path(file).expanduser().exists() for file in files.split(os.pathsep))
    if in_pod and context is None and not has_config:
        config.load_incluster_config(settings)
        return "", _ACCOUNT.read_text(encoding="utf-8").strip()
    contexts, active = config.list_kube_config_contexts(files)
    chosen = active if context is None else next((item for item in contexts if item["name"] == context), None)
    if chosen is None:
        raise CommandError(f"There is no context {context}; there are {', '.join(item['name'] for item in contexts)}.")
    config.load_kube_config(files, context=context, client_configuration=settings)
    return str(chosen["name"]), str(chosen["context"].get("namespace") or "default")
