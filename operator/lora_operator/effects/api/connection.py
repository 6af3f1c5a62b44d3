"""How the operator finds and is known to the API server: one answer for our own client and for kopf."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import kopf
from kubernetes.aio import config
from kubernetes.aio.client.configuration import Configuration

#: Requests that may be under way at once; more wait for a connection.
MAX_CONNECTIONS = 64
#: kopf keeps the credentials it was given; tokens in pods are rotated, so it has to ask again this often.
_LOGIN_LIFETIME = timedelta(minutes=5)


async def load_configuration() -> Configuration:
    """Load the service account of the pod where there is one, else the current context of the kubeconfig.

    Raises:
        kubernetes.config.ConfigException: there is neither.
    """
    configuration = Configuration()
    if os.environ.get("KUBERNETES_SERVICE_HOST") and not os.environ.get("KUBECONFIG"):
        config.load_incluster_config(client_configuration=configuration)
    else:
        await config.load_kube_config(client_configuration=configuration, persist_config=False)
    configuration.connection_pool_maxsize = MAX_CONNECTIONS
    # aiohttp would ask the environment and a netrc file at every request, in a thread that it starts for it.
    configuration.client_session_kwargs = {"trust_env": False}
    server = urlsplit(configuration.host)
    if not configuration.proxy and not proxy_bypass(server.netloc):  # NO_PROXY
        configuration.proxy = getproxies().get(server.scheme)  # HTTPS_PROXY
    return configuration


async def login(tracing: aiohttp.TraceConfig) -> kopf.AiohttpSession:
    """Answer kopf's question for credentials, with a session that reports each request to `tracing`."""
    configuration = await load_configuration()
    bearer = (await configuration.auth_settings()).get("BearerToken", {}).get("value")
    token = bearer.split(" ", 1)[-1].strip() if bearer else None
    info = kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        scheme="Bearer" if token else None,
        token=token,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
    )
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
        headers=info.as_http_headers(),
        proxy=configuration.proxy,
        trust_env=False,
        trace_configs=[tracing],
    )
    return kopf.AiohttpSession(
        server=info.server, aiohttp_session=session, expiration=datetime.now(UTC) + _LOGIN_LIFETIME
    )
